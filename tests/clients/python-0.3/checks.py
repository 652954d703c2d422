"""The official Python SDK of A2A 0.3 as a judge of a running Kennel, with the SDK's default settings and timeouts.

usage: checks.py URL BINDING    where URL is the base that `kennel serve` prints, and BINDING is JSONRPC or HTTP+JSON
"""

import asyncio
import sys
import uuid

from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.client.errors import A2AClientHTTPError, A2AClientJSONRPCError
from a2a.types import (
    DataPart,
    FilePart,
    FileWithBytes,
    Message,
    Part,
    Role,
    Task,
    TaskArtifactUpdateEvent,
    TaskIdParams,
    TaskQueryParams,
    TaskState,
    TextPart,
)
import httpx

import bench
from bench import check

AGENTS = ["auto", "countdown", "echo", "hello", "interview", "mischief"]

BINDING = sys.argv[2]


# An agent that spins is given 10 s to stop, twice the SDK's timeout, and a call over HTTP+JSON cannot be kept alive.
DEEDS = ["spin", "sleep 60000"] if BINDING == "JSONRPC" else ["sleep 60000"]


def check_over(binding):
    """Marks a check that holds over one binding only."""
    return check if binding == BINDING else lambda function: function


class Agent:
    """A client of one agent, made from the agent's url as an application would make it."""

    def __init__(self, base, name, **config):
        self.url = f"{base}/agents/{name}"
        self.config = ClientConfig(supported_transports=[BINDING], **config)

    async def __aenter__(self):
        self.client = await ClientFactory.connect(self.url, client_config=self.config)
        return self

    async def __aexit__(self, *_):
        await self.client.close()

    def stream(self, what, **ids):
        """Sends a text or a part; the events that come back."""
        part = TextPart(text=what) if isinstance(what, str) else what
        message = Message(message_id=str(uuid.uuid4()), role=Role.user, parts=[Part(root=part)], **ids)
        return self.client.send_message(message)

    async def send(self, what, **ids):
        """Sends a text or a part; the one answer that comes back."""
        [answer] = [event async for event in self.stream(what, **ids)]
        return answer if isinstance(answer, Message) else answer[0]

    async def start(self, what):
        """Sends, and leaves when the task is there, as a client does that lost its connection."""
        events = self.stream(what)
        task, _ = await anext(events)
        await events.aclose()
        return task

    def get(self, task, **options):
        return self.client.get_task(TaskQueryParams(id=task.id, **options))

    def cancel(self, task):
        return self.client.cancel_task(TaskIdParams(id=task.id))

    def subscribe(self, task):
        return self.client.resubscribe(TaskIdParams(id=task.id))


def text(parts):
    return "".join(part.root.text for part in parts if isinstance(part.root, TextPart))


def expect_stream(events, artifact):
    """The SDK puts the task together from the events: whole in the end, nothing twice, and the last event says that it is."""
    task, last = events[-1]
    assert task.status.state == TaskState.completed, task
    assert [text(artifact.parts) for artifact in task.artifacts] == [artifact], task
    assert [update.final for _, update in events if hasattr(update, "final")].index(True) >= 0, events
    assert last.final, last


async def expect_refusal(code, status, awaitable):
    """The call is refused: by a code of JSON-RPC, or a status of HTTP."""
    try:
        answer = await awaitable
    except A2AClientJSONRPCError as refusal:
        assert BINDING == "JSONRPC" and refusal.error.code == code, refusal
        return
    except A2AClientHTTPError as refusal:
        assert BINDING == "HTTP+JSON" and refusal.status_code == status, refusal
        return
    raise AssertionError(f"{code} was expected, not {answer}")


async def collect(events):
    return [event async for event in events]


@check
async def every_card_is_found_and_valid_at_both_places(base):
    async with httpx.AsyncClient() as http:
        for name in AGENTS:
            url = f"{base}/agents/{name}"
            card = await A2ACardResolver(http, url).get_agent_card()
            old = await A2ACardResolver(http, url, agent_card_path="/.well-known/agent.json").get_agent_card()
            assert card == old and card.name == name, card
            assert (card.url, card.preferred_transport, card.protocol_version) == (url, "JSONRPC", "0.3.0"), card
            offered = {(interface.transport, interface.url) for interface in card.additional_interfaces}
            assert offered == {("JSONRPC", url), ("HTTP+JSON", url)}, card
            assert card.capabilities.streaming, card


@check
async def a_blocking_send_answers_with_the_finished_task(base):
    async with Agent(base, "echo", streaming=False) as echo:
        task = await echo.send("hello, Grüße, 你好")
        assert task.status.state == TaskState.completed, task
        # The SDK loses it on its way from the proto.
        assert task.status.timestamp or BINDING == "HTTP+JSON", task
        assert [text(artifact.parts) for artifact in task.artifacts] == ["hello, Grüße, 你好"], task
        assert [message.role for message in task.history] == [Role.user, Role.agent], task


@check
async def a_stream_shows_each_step_once_and_ends(base):
    async with Agent(base, "countdown") as countdown:
        events = await collect(countdown.stream("3 every 100ms"))
        expect_stream(events, "3\n2\n1\n0\n")
        pieces = [update for _, update in events if isinstance(update, TaskArtifactUpdateEvent)]
        assert [bool(update.last_chunk) for update in pieces] == [False, False, False, True], pieces


@check
async def a_data_part_reaches_the_agent(base):
    async with Agent(base, "countdown") as countdown:
        expect_stream(await collect(countdown.stream(DataPart(data={"from": 2, "step_ms": 10}))), "2\n1\n0\n")


@check
async def a_file_comes_back_as_it_was_sent(base):
    async with Agent(base, "mischief", streaming=False) as mischief:
        file = FileWithBytes(bytes="AAECA/8=", mime_type="text/plain", name="bytes.bin")
        message = Message(
            message_id="m", role=Role.user, parts=[Part(root=TextPart(text="echo")), Part(root=FilePart(file=file))]
        )
        [(task, _)] = [event async for event in mischief.client.send_message(message)]
        kept = (await mischief.get(task)).history[0].parts[1].root.file
        assert (kept.bytes, kept.mime_type, kept.name) == ("AAECA/8=", "text/plain", "bytes.bin"), kept


@check
async def a_task_can_be_got_with_as_much_history_as_asked_for(base):
    async with Agent(base, "echo", streaming=False) as echo:
        sent = await echo.send("keep this")
        assert await echo.get(sent) == sent
        assert not (await echo.get(sent, history_length=0)).history
        assert (await echo.get(sent, history_length=1)).history == sent.history[-1:]


@check
async def a_spinning_and_a_waiting_agent_are_canceled_and_their_streams_end(base):
    async with Agent(base, "mischief") as mischief:
        for deed in DEEDS:
            events = mischief.stream(deed)
            task, _ = await anext(events)
            rest = asyncio.create_task(collect(events))
            canceled = await mischief.cancel(task)
            assert canceled.status.state == TaskState.canceled, canceled
            last, update = (await rest)[-1]
            assert last.status.state == TaskState.canceled and update.final, update
            await expect_refusal(-32002, 400, mischief.cancel(task))


@check_over("JSONRPC")
async def a_cancel_outlasts_the_timeout_when_the_agent_resists(base):
    # The host gives the agent 10 s, twice the SDK's timeout.
    async with Agent(base, "mischief") as mischief:
        task = await mischief.start("ignore-cancel")
        canceled = await mischief.cancel(task)
        assert canceled.status.state == TaskState.canceled, canceled


@check
async def a_subscriber_of_a_running_task_sees_it_whole(base):
    async with Agent(base, "countdown") as one, Agent(base, "countdown") as other:
        task = await one.start("4 every 400ms")
        early, late = await asyncio.gather(collect(one.subscribe(task)), collect(other.subscribe(task)))
        for events in [early, late]:
            expect_stream(events, "4\n3\n2\n1\n0\n")


@check
async def an_interview_takes_three_blocking_turns(base):
    async with Agent(base, "interview", streaming=False) as interview:
        asked = await interview.send("interview me")
        assert asked.status.state == TaskState.input_required, asked
        assert text(asked.status.message.parts) == "What is your name?", asked
        ids = {"task_id": asked.id, "context_id": asked.context_id}
        again = await interview.send("Ada", **ids)
        assert text(again.status.message.parts) == "Hello Ada. Red or blue?", again
        done = await interview.send("red", **ids)
        assert done.status.state == TaskState.completed, done
        assert text(done.artifacts[0].parts) == "Ada likes red.", done
        await expect_refusal(-32004, 400, interview.send("one more thing", **ids))


@check
async def an_interview_streams_each_turn_while_a_subscriber_sees_all(base):
    async with Agent(base, "interview") as interview:
        first = await collect(interview.stream("interview me"))
        task, update = first[-1]
        assert task.status.state == TaskState.input_required and update.final, update
        watched = asyncio.create_task(collect(interview.subscribe(task)))
        second = await collect(interview.stream("Ada", task_id=task.id))
        assert second[-1][0].status.state == TaskState.input_required, second
        expect_stream(await collect(interview.stream("red", task_id=task.id)), "Ada likes red.")
        expect_stream(await watched, "Ada likes red.")


@check
async def a_bare_message_comes_without_a_task(base):
    for streaming in [True, False]:
        async with Agent(base, "hello", streaming=streaming) as hello:
            message = await hello.send("Ada")
            assert text(message.parts) == "Hello, Ada.", message
            assert message.role == Role.agent and message.context_id and not message.task_id, message


@check_over("JSONRPC")
async def a_blocking_send_waits_for_an_agent_that_is_silent_for_8_s(base):
    async with Agent(base, "mischief", streaming=False) as mischief:
        task = await mischief.send("sleep 8000")
        assert text(task.artifacts[0].parts) == "Good morning.", task


@check
async def a_stream_stays_open_while_its_agent_is_silent_for_8_s(base):
    async with Agent(base, "mischief") as mischief:
        expect_stream(await collect(mischief.stream("sleep 8000")), "Good morning.")


@check
async def a_polling_client_gets_the_task_at_once(base):
    async with Agent(base, "countdown", streaming=False, polling=True) as countdown:
        task = await countdown.send("1 every 300ms")
        assert task.status.state in (TaskState.submitted, TaskState.working), task
        while task.status.state in (TaskState.submitted, TaskState.working):
            task = await countdown.get(task)
        assert text(task.artifacts[0].parts) == "1\n0\n", task


@check
async def failures_and_refusals_of_an_agent_are_tasks_that_say_why(base):
    ends = {
        "fail": (TaskState.failed, "Mischief was asked for."),
        "reject": (TaskState.rejected, "Not even mischief does that."),
        "panic": (TaskState.failed, ""),
        "auth": (TaskState.auth_required, "I need the vault"),
    }
    async with Agent(base, "mischief", streaming=False) as mischief:
        for deed, (end, why) in ends.items():
            task = await mischief.send(deed)
            said = text(task.status.message.parts)
            assert task.status.state == end and said and why in said, task


@check
async def what_is_not_there_is_not_found(base):
    async with Agent(base, "echo", streaming=False) as echo, Agent(base, "hello") as hello:
        nobody = await echo.send("hello")
        assert isinstance(nobody, Task)
        await expect_refusal(-32001, 404, hello.get(nobody))
        nobody.id = str(uuid.uuid4())
        await expect_refusal(-32001, 404, echo.get(nobody))
        await expect_refusal(-32001, 404, echo.cancel(nobody))
        await expect_refusal(-32001, 404, echo.send("hello", task_id=nobody.id))


if __name__ == "__main__":
    bench.main(sys.argv[1].rstrip("/"))
