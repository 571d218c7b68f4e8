"""`hanse down`: stop a running system and wait until it has gone."""

import os
import select
import signal
import time
from argparse import ArgumentParser, Namespace
from contextlib import suppress

from hanse.cli.locate import running, subject
from hanse.cli.output import say_json
from hanse.core.errors import HanseError, Unavailable
from hanse.system.control import ask
from hanse.system.lock import SystemLock

EXAMPLES = """\
  hanse down                 the system that runs here
  hanse down systems/shop"""

_WAIT_S = 30.0
_STEP_S = 0.02


def describe(parser: ArgumentParser) -> None:
    parser.add_argument("path", nargs="?", help="the system's folder or file; default: the one that runs here")


def run(arguments: Namespace) -> int:
    state = running(arguments.path)
    lock = SystemLock(state.lock)
    pid = lock.holder()
    watch = _watch(pid)
    try:
        list(ask(state.socket, "down"))
    except HanseError:
        if pid:  # it is still starting, or stuck: then it has no socket, but it does obey signals
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _WAIT_S
    while lock.holder() is not None or _runs(watch):
        if time.monotonic() > deadline:
            raise Unavailable(f"it still drains after {_WAIT_S:.0f} s (pid {pid})")
        time.sleep(_STEP_S)
    if arguments.json:
        say_json({"stopped": subject(state)})
    else:
        print(f"{subject(state)} is down")
    return 0


def _watch(pid: int | None) -> int | None:
    """A descriptor that tells when the process has ended, even if its parent has not noticed; None: it has already."""
    try:
        return os.pidfd_open(pid) if pid else None
    except ProcessLookupError:
        return None


def _runs(watch: int | None) -> bool:
    return watch is not None and not select.select([watch], [], [], 0)[0]
