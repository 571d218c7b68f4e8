"""`hanse up`: run a system in this terminal, or behind it."""

import asyncio
import json
import subprocess
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from contextlib import suppress
from pathlib import Path
from typing import Any

from hanse.cli.check import valid
from hanse.cli.output import colourful, headline, say_json, status_table
from hanse.core.errors import Unavailable
from hanse.system import System
from hanse.system.control import ask
from hanse.system.lock import AlreadyRunning, SystemLock
from hanse.system.state import StateFolder
from hanse.system.topology import shown

EXAMPLES = """\
  hanse up systems/shop              run it here; Ctrl-C stops it
  hanse up greeter.py                a single file with a Service in it
  hanse up systems/shop --detach     run it behind; then: hanse ps, logs, down
  hanse up systems/shop --clean      forget all data first"""

_DETACHED_S = 90.0
_STEP_S = 0.02
_LAST_LINES = 5


def describe(parser: ArgumentParser) -> None:
    parser.add_argument("path", nargs="?", default=".", help="the system's folder or a service's file (default: here)")
    parser.add_argument("-d", "--detach", action="store_true", help="return when it is up; it runs on")
    parser.add_argument("--clean", action="store_true", help="start over: forget databases, messages and keys")
    parser.add_argument("--no-reload", action="store_true", help="do not watch the files for edits")
    parser.add_argument("--port", type=_port, help="the gateway's port; taken is an error then")
    parser.add_argument("--grace", type=float, default=5.0, metavar="SECONDS", help="for requests in flight at a stop")


def run(arguments: Namespace) -> int:
    system = valid(arguments.path)
    lock = SystemLock(StateFolder(system.state).lock)
    if (pid := lock.holder()) is not None:
        raise _already(system, pid)
    if arguments.detach:
        return _detached(arguments, system)
    try:
        asyncio.run(_attached(arguments, system))
    except AlreadyRunning as error:
        raise _already(system, error.details["pid"]) from None
    return 0


async def _attached(arguments: Namespace, system: System) -> None:
    from hanse.cli.console import Console
    from hanse.core import Env
    from hanse.system.supervisor import Options, Supervisor

    env = Env.build(system.name)
    console = Console(env, [service.name for service in system.services], as_json=arguments.json)
    options = Options(
        clean=arguments.clean, reload=not arguments.no_reload, grace_s=arguments.grace, port=arguments.port
    )
    supervisor = Supervisor(env, system, options, console)
    env.scope.on_error = lambda name, error: supervisor.logs.say(f"{name}: {error}", level="error")
    supervisor.logs.listen(console.hear)
    try:
        await supervisor.run()
    finally:
        await console.finish()


def _detached(arguments: Namespace, system: System) -> int:
    """Start `hanse up` in a session of its own and wait until it says that the system is up."""
    state = StateFolder(system.state)
    state.prepare()
    output = state.path / "up.log"
    argv = [sys.executable, "-m", "hanse.cli.main", "up", arguments.path, "--json", "--grace", str(arguments.grace)]
    argv += ["--clean"] * arguments.clean + ["--no-reload"] * arguments.no_reload
    argv += ["--port", str(arguments.port)] if arguments.port else []
    with output.open("wb") as log:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    status = _wait(child, state)
    if status is None:
        raise Unavailable(_last_words(output) or f"it ended with exit code {child.returncode}")
    if arguments.json:
        say_json(status)
    else:
        colour = colourful(sys.stdout)
        for note in status["notes"]:
            print(f"  {note}")
        print(headline(status, colour=colour))
        print(status_table(status, colour=colour))
        print(f"  stop it with: hanse down {shown(arguments.path)}")
    return 0 if all(service["state"] == "ready" for service in status["services"]) else 1


def _wait(child: "subprocess.Popen[bytes]", state: StateFolder) -> dict[str, Any] | None:
    deadline = time.monotonic() + _DETACHED_S
    while child.poll() is None and time.monotonic() < deadline:
        try:
            status = next(ask(state.socket, "ps"))
        except Unavailable:
            status = {}
        if status.get("state") == "up":
            return status
        time.sleep(_STEP_S)
    return None


def _last_words(output: Path) -> str:
    """Why `hanse up` ended, as it said itself; else the last lines it wrote."""
    lines = output.read_text(errors="replace").splitlines()[-_LAST_LINES:]
    with suppress(ValueError, LookupError, TypeError):
        return str(json.loads(lines[-1])["error"])
    return "\n".join(lines)


def _already(system: System, pid: object) -> AlreadyRunning:
    where = shown(system.folder if system.root != system.folder else system.file)
    return AlreadyRunning(f"{system.name} is already up (pid {pid}); look at it with: hanse ps {where}", pid=pid)


def _port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise ArgumentTypeError(f'"{text}" is not a port')
    return int(text)
