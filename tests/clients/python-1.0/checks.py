"""The official Python SDK as a judge of a running Kennel, with the SDK's default settings and timeouts.

usage: checks.py URL BINDING    where URL is the base that `kennel serve` prints, and BINDING is JSONRPC or HTTP+JSON
"""

import asyncio
import functools
import json
import sys
import uuid

from a2a.client import A2ACardResolver, ClientCallContext, ClientConfig, create_client
from a2a.client.card_resolver import parse_agent_card
from a2a.client.errors import AgentCardResolutionError
from a2a.client.transports import jsonrpc, rest
from a2a.helpers import new_data_part, new_message, new_text_part
from a2a.types import (
    AgentCard,
    CancelTaskRequest,
    GetTaskRequest,
    ListTasksRequest,
    ListTasksResponse,
    Role,
    SendMessageRequest,
    SubscribeToTaskRequest,
    TaskState,
)
from a2a.utils.errors import TaskNotCancelableError, TaskNotFoundError, UnsupportedOperationError
from a2a.utils.proto_utils import parse_lenient, validate_proto_required_fields
from google.protobuf.json_format import ParseDict, ParseError
import httpx

import bench
from bench import check, complain

AGENTS = ["auto", "countdown", "echo", "hello", "interview", "mischief"]

BINDING = sys.argv[2]

# The SDK streams by default, over JSON-RPC.
STREAMING = ClientConfig(supported_protocol_bindings=[BINDING])

# Its way to ask for one blocking answer.
BLOCKING = ClientConfig(supported_protocol_bindings=[BINDING], streaming=False)

# Returns as soon as there is a task.
POLLING = ClientConfig(supported_protocol_bindings=[BINDING], streaming=False, polling=True)


# An agent that spins is given 10 s to stop, twice the SDK's timeout, and a call over HTTP+JSON cannot be kept alive.
DEEDS = ["spin", "sleep 60000"] if BINDING == "JSONRPC" else ["sleep 60000"]


def check_over(binding):
    """Marks a check that holds over one binding only."""
    return check if binding == BINDING else lambda function: function


@functools.wraps(parse_lenient)
def parse_and_judge(data, message):
    """The SDK's own parser ignores unknown members and asks for none. This one takes both down and lets the SDK go on."""
    kind = type(message)
    try:
        # Events of HTTP+JSON come as text.
        strict = ParseDict(json.loads(data) if isinstance(data, str) else data, kind())
        # The validator wants no list and no string empty; a last page may have both.
        if kind is not ListTasksResponse:
            validate_proto_required_fields(strict)
    except ParseError as error:
        complain(f"{kind.__name__}: {error}")
    except Exception as error:
        complain(f"{kind.__name__}: {error} {getattr(error, 'data', '')}")
    return parse_lenient(data, message)


class Agent:
    """A client of one agent, made from the agent's url as an application would make it."""

    def __init__(self, base, name, config=STREAMING):
        self.url = f"{base}/agents/{name}"
        self.config = config

    async def __aenter__(self):
        self.client = await create_client(self.url, client_config=self.config)
        return self

    async def __aexit__(self, *_):
        await self.client.close()

    def stream(self, what, **ids):
        """Sends a text or a part; the events that come back."""
        part = new_text_part(what) if isinstance(what, str) else what
        message = new_message([part], role=Role.ROLE_USER, **ids)
        return self.client.send_message(SendMessageRequest(message=message))

    async def send(self, what, **ids):
        """Sends a text or a part; the one answer that comes back."""
        [answer] = [event async for event in self.stream(what, **ids)]
        return answer

    async def start(self, what):
        """Sends, and leaves when the task is there, as a client does that lost its connection."""
        events = self.stream(what)
        first = await anext(events)
        await events.aclose()
        return first.task

    def get(self, task, **options):
        return self.client.get_task(GetTaskRequest(id=task.id, **options))

    def cancel(self, task):
        return self.client.cancel_task(CancelTaskRequest(id=task.id))

    def subscribe(self, task, context=None):
        return self.client.subscribe(SubscribeToTaskRequest(id=task.id), context=context)


def kind(event):
    return event.WhichOneof("payload")


def state(event):
    """The state that an event tells, if it tells one."""
    return {"task": event.task, "status_update": event.status_update}[kind(event)].status.state


def text(parts):
    return "".join(part.text for part in parts)


def lines(events):
    """The text of all artifacts, from the task that opens a stream and the pieces that follow."""
    whole = ""
    for event in events:
        whole += "".join(text(artifact.parts) for artifact in event.task.artifacts)
        if kind(event) == "artifact_update":
            whole += text(event.artifact_update.artifact.parts)
    return whole


def expect_stream(events, artifact):
    """A task first, never again; its artifact without a gap or a repeat; then the end."""
    assert [kind(event) for event in events].index("task") == 0, events
    assert [kind(event) for event in events].count("task") == 1, events
    assert state(events[-1]) == TaskState.TASK_STATE_COMPLETED, events
    assert lines(events) == artifact, events


async def expect_error(error, awaitable):
    """The call is refused with this class of the SDK, and says why."""
    try:
        answer = await awaitable
    except error as refusal:
        assert str(refusal), "an error must have a message"
        return refusal
    raise AssertionError(f"{error.__name__} was expected, not {answer}")


async def collect(events):
    return [event async for event in events]


@check
async def every_card_is_found_and_valid(base):
    async with httpx.AsyncClient() as http:
        for name in AGENTS:
            url = f"{base}/agents/{name}"
            card = await A2ACardResolver(http, url).get_agent_card()
            assert card.name == name, card
            assert {interface.url for interface in card.supported_interfaces} == {url}, card
            first = card.supported_interfaces[0]
            assert (first.protocol_binding, first.protocol_version) == ("JSONRPC", "1.0"), card
            assert card.capabilities.streaming, card
            validate_proto_required_fields(card)
            headers = {"A2A-Version": "1.0"}
            raw = (await http.get(f"{url}/.well-known/agent-card.json", headers=headers)).json()
            assert ParseDict(raw, AgentCard()) == parse_agent_card(raw) == card, raw


@check
async def a_url_with_a_slash_at_its_end_finds_the_same_agent(base):
    async with Agent(base, "echo/") as echo:
        assert lines(await collect(echo.stream("hello"))) == "hello"


@check
async def an_agent_that_is_not_there_is_a_clear_404(base):
    error = await expect_error(AgentCardResolutionError, create_client(f"{base}/agents/nobody"))
    assert error.status_code == 404, error


@check
async def a_blocking_send_answers_with_the_finished_task(base):
    async with Agent(base, "echo", BLOCKING) as echo:
        task = (await echo.send("hello, Grüße, 你好")).task
        assert task.status.state == TaskState.TASK_STATE_COMPLETED, task
        assert [text(artifact.parts) for artifact in task.artifacts] == ["hello, Grüße, 你好"], task
        assert task.context_id and task.status.HasField("timestamp"), task


@check
async def a_stream_shows_each_step_once_and_ends(base):
    async with Agent(base, "countdown") as countdown:
        events = await collect(countdown.stream("3 every 100ms"))
        expect_stream(events, "3\n2\n1\n0\n")
        assert len({event.task.id or event.status_update.task_id or event.artifact_update.task_id for event in events}) == 1
        assert [event.artifact_update.last_chunk for event in events if kind(event) == "artifact_update"] == [0, 0, 0, 1]


@check
async def a_data_part_reaches_the_agent(base):
    async with Agent(base, "countdown") as countdown:
        plan = new_data_part({"from": 2, "step_ms": 10}, media_type="application/json")
        expect_stream(await collect(countdown.stream(plan)), "2\n1\n0\n")


@check
async def a_task_can_be_got_with_as_much_history_as_asked_for(base):
    async with Agent(base, "echo", BLOCKING) as echo:
        sent = (await echo.send("keep this")).task
        assert await echo.get(sent) == sent
        assert [message.task_id for message in sent.history] == [sent.id] * 2, sent
        assert not (await echo.get(sent, history_length=0)).history
        assert (await echo.get(sent, history_length=1)).history == sent.history[-1:]


@check
async def tasks_are_listed_newest_first_in_pages(base):
    context = str(uuid.uuid4())
    async with Agent(base, "echo", BLOCKING) as echo:
        sent = [(await echo.send(str(n), context_id=context)).task.id for n in range(3)]
        first = await echo.client.list_tasks(ListTasksRequest(context_id=context, page_size=2))
        assert (first.total_size, first.page_size) == (3, 2), first
        token = first.next_page_token
        second = await echo.client.list_tasks(ListTasksRequest(context_id=context, page_size=2, page_token=token))
        assert [task.id for page in (first, second) for task in page.tasks] == sent[::-1], (first, second)
        assert not second.next_page_token and not second.tasks[0].artifacts, second
        filters = {"status": TaskState.TASK_STATE_COMPLETED, "include_artifacts": True, "history_length": 0}
        full = await echo.client.list_tasks(ListTasksRequest(context_id=context, **filters))
        assert [text(task.artifacts[0].parts) for task in full.tasks] == ["2", "1", "0"], full
        assert not (await echo.client.list_tasks(ListTasksRequest(context_id="nobody's"))).tasks


@check
async def a_spinning_and_a_waiting_agent_are_canceled_and_their_streams_end(base):
    async with Agent(base, "mischief") as mischief:
        for deed in DEEDS:
            events = mischief.stream(deed)
            task = (await anext(events)).task
            rest = asyncio.create_task(collect(events))
            canceled = await mischief.cancel(task)
            assert canceled.status.state == TaskState.TASK_STATE_CANCELED, canceled
            assert state((await rest)[-1]) == TaskState.TASK_STATE_CANCELED
            await expect_error(TaskNotCancelableError, mischief.cancel(task))


@check_over("JSONRPC")
async def a_cancel_outlasts_the_timeout_when_the_agent_resists(base):
    # The host gives the agent 10 s, twice the SDK's timeout.
    async with Agent(base, "mischief") as mischief:
        task = await mischief.start("ignore-cancel")
        canceled = await mischief.cancel(task)
        assert canceled.status.state == TaskState.TASK_STATE_CANCELED, canceled


@check
async def subscribers_of_a_running_task_see_it_whole_and_alike(base):
    async with Agent(base, "countdown") as one, Agent(base, "countdown") as other:
        task = await one.start("4 every 400ms")
        early = asyncio.create_task(collect(one.subscribe(task)))
        late = other.subscribe(task)
        seen = [await anext(late)]
        seen += await collect(late)
        expect_stream(seen, "4\n3\n2\n1\n0\n")
        expect_stream(await early, "4\n3\n2\n1\n0\n")
        await expect_error(UnsupportedOperationError, collect(one.subscribe(task)))


@check
async def a_subscription_resumes_behind_the_last_event(base):
    # The SDK hides the ids of events, but they count from 1 and an application may send the header itself.
    async with Agent(base, "countdown") as countdown:
        events = countdown.stream("3 every 300ms")
        seen = [await anext(events) for _ in range(4)]
        await events.aclose()
        behind = ClientCallContext(service_parameters={"Last-Event-ID": str(len(seen))})
        rest = await collect(countdown.subscribe(seen[0].task, context=behind))
        assert "task" not in map(kind, rest), rest
        expect_stream(seen + rest, "3\n2\n1\n0\n")


@check
async def an_interview_takes_three_blocking_turns(base):
    async with Agent(base, "interview", BLOCKING) as interview:
        asked = (await interview.send("interview me")).task
        assert asked.status.state == TaskState.TASK_STATE_INPUT_REQUIRED, asked
        assert text(asked.status.message.parts) == "What is your name?", asked
        ids = {"task_id": asked.id, "context_id": asked.context_id}
        again = (await interview.send("Ada", **ids)).task
        assert text(again.status.message.parts) == "Hello Ada. Red or blue?", again
        done = (await interview.send("red", **ids)).task
        assert done.status.state == TaskState.TASK_STATE_COMPLETED, done
        assert text(done.artifacts[0].parts) == "Ada likes red.", done
        said = ["interview me", "What is your name?", "Ada", "Hello Ada. Red or blue?", "red"]
        assert [text(message.parts) for message in done.history] == said, done
        await expect_error(UnsupportedOperationError, interview.send("one more thing", **ids))


@check
async def an_interview_streams_each_turn_while_a_subscriber_sees_all(base):
    async with Agent(base, "interview") as interview:
        first = await collect(interview.stream("interview me"))
        assert state(first[-1]) == TaskState.TASK_STATE_INPUT_REQUIRED, first
        task = first[0].task
        subscription = interview.subscribe(task)
        watched = [await anext(subscription)]
        second = await collect(interview.stream("Ada", task_id=task.id))
        assert state(second[-1]) == TaskState.TASK_STATE_INPUT_REQUIRED, second
        third = await collect(interview.stream("red", task_id=task.id))
        expect_stream(third, "Ada likes red.")
        watched += await collect(subscription)
        expect_stream(watched, "Ada likes red.")
        asked = [event for event in watched if kind(event) != "artifact_update" and state(event) == TaskState.TASK_STATE_INPUT_REQUIRED]
        assert len(asked) == 2, watched


@check
async def a_bare_message_comes_without_a_task(base):
    for config in [STREAMING, BLOCKING]:
        async with Agent(base, "hello", config) as hello:
            message = (await hello.send("Ada")).message
            assert text(message.parts) == "Hello, Ada.", message
            assert message.role == Role.ROLE_AGENT and message.context_id and not message.task_id, message


@check_over("JSONRPC")
async def a_blocking_send_waits_for_an_agent_that_is_silent_for_8_s(base):
    async with Agent(base, "mischief", BLOCKING) as mischief:
        task = (await mischief.send("sleep 8000")).task
        assert text(task.artifacts[0].parts) == "Good morning.", task


@check
async def a_stream_stays_open_while_its_agent_is_silent_for_8_s(base):
    async with Agent(base, "mischief") as mischief:
        expect_stream(await collect(mischief.stream("sleep 8000")), "Good morning.")


@check
async def a_subscription_stays_open_while_its_agent_is_silent_for_8_s(base):
    async with Agent(base, "mischief") as mischief:
        task = await mischief.start("sleep 8000")
        expect_stream(await collect(mischief.subscribe(task)), "Good morning.")


@check
async def a_polling_client_gets_the_task_at_once(base):
    async with Agent(base, "countdown", POLLING) as countdown:
        task = (await countdown.send("1 every 300ms")).task
        assert task.status.state < TaskState.TASK_STATE_COMPLETED, task
        while task.status.state < TaskState.TASK_STATE_COMPLETED:
            task = await countdown.get(task)
        assert text(task.artifacts[0].parts) == "1\n0\n", task


@check
async def failures_and_refusals_of_an_agent_are_tasks_that_say_why(base):
    ends = {
        "fail": (TaskState.TASK_STATE_FAILED, "Mischief was asked for."),
        "reject": (TaskState.TASK_STATE_REJECTED, "Not even mischief does that."),
        "panic": (TaskState.TASK_STATE_FAILED, ""),
        "auth": (TaskState.TASK_STATE_AUTH_REQUIRED, "I need the vault"),
    }
    async with Agent(base, "mischief", BLOCKING) as mischief:
        for deed, (end, why) in ends.items():
            task = (await mischief.send(deed)).task
            said = text(task.status.message.parts)
            assert task.status.state == end and said and why in said, task


@check
async def what_is_not_there_is_not_found(base):
    async with Agent(base, "echo") as echo, Agent(base, "hello") as hello:
        nobody = await echo.start("hello")
        await expect_error(TaskNotFoundError, hello.get(nobody))
        nobody.id = str(uuid.uuid4())
        await expect_error(TaskNotFoundError, echo.get(nobody))
        await expect_error(TaskNotFoundError, echo.cancel(nobody))
        await expect_error(TaskNotFoundError, collect(echo.subscribe(nobody)))
        await expect_error(TaskNotFoundError, collect(echo.stream("hello", task_id=nobody.id)))


if __name__ == "__main__":
    for transport in [jsonrpc, rest]:
        transport.parse_lenient = parse_and_judge
    bench.main(sys.argv[1].rstrip("/"))
