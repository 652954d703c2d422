"""Runs checks side by side and counts them; keeps an eye on what the SDK complains about while they run."""

import asyncio
import logging
import sys
import time
import traceback
import warnings

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


def complain(text):
    """Takes down what a client should not have to put up with; the run fails in the end."""
    _complaints.append(text)


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
    logging.captureWarnings(True)
    warnings.simplefilter("default")
    logging.getLogger().addHandler(_Complaints(logging.WARNING))
    results = asyncio.run(_run_all(*arguments))
    failed = results.count(False)
    print(f"{len(results) - failed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed else 0)
