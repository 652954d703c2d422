"""Runs checks side by side and counts them; keeps an eye on what the SDK complains about while they run."""

import asyncio
import functools
import logging
import sys
import time
import traceback
import warnings

from a2a.client.transports import jsonrpc
from a2a.types import ListTasksResponse
from a2a.utils.proto_utils import parse_lenient, validate_proto_required_fields
from google.protobuf.json_format import ParseDict, ParseError

# A check that takes longer hangs. The slowest waits for an agent that is silent for 8 s.
CHECK_SECONDS_MAX = 40

_checks = []
_complaints = []


def check(function):
    """Marks a check: a coroutine function whose name is the sentence that it proves."""
    _checks.append(function)
    return function


class _Complaints(logging.Handler):
    """Keeps what the SDK and its libraries warn about."""

    def emit(self, record):
        _complaints.append(f"{record.name}: {record.getMessage()}")


@functools.wraps(parse_lenient)
def _parse_and_judge(data, message):
    """The SDK's own parser ignores unknown members and asks for none. This one takes both down and lets the SDK go on."""
    kind = type(message)
    try:
        strict = ParseDict(data, kind())
        # The validator wants no list and no string empty; a last page may have both.
        if kind is not ListTasksResponse:
            validate_proto_required_fields(strict)
    except ParseError as error:
        _complaints.append(f"{kind.__name__}: {error}")
    except Exception as error:
        _complaints.append(f"{kind.__name__}: {error} {getattr(error, 'data', '')}")
    return parse_lenient(data, message)


async def _run(function, *arguments):
    """Whether the check passed. It prints its line as soon as it knows."""
    name = function.__name__.strip("_").replace("_", " ")
    begin = time.monotonic()
    try:
        await asyncio.wait_for(function(*arguments), CHECK_SECONDS_MAX)
    except Exception:
        print(f"FAIL  {name}\n{traceback.format_exc()}", flush=True)
        return False
    print(f"ok    {name} ({time.monotonic() - begin:.1f} s)", flush=True)
    return True


async def _the_sdk_has_nothing_to_complain_about():
    if _complaints:
        raise AssertionError("\n".join(sorted(set(_complaints))))


async def _run_all(*arguments):
    results = await asyncio.gather(*(_run(function, *arguments) for function in _checks))
    results.append(await _run(_the_sdk_has_nothing_to_complain_about))
    return results


def main(*arguments):
    """Runs all checks with these arguments and ends the process."""
    jsonrpc.parse_lenient = _parse_and_judge
    logging.captureWarnings(True)
    warnings.simplefilter("default")
    logging.getLogger().addHandler(_Complaints(logging.WARNING))
    results = asyncio.run(_run_all(*arguments))
    failed = results.count(False)
    print(f"{len(results) - failed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed else 0)
