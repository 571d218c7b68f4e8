"""What a forked child does: become a process of its own, import the application, serve it, say how that went."""

import json
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from hanse.core.errors import ConfigurationError

READY_FD = "HANSE_READY_FD"
"""Names the descriptor on which a service reports, in one line: `ready`, or `failed <why>`."""

UNUSABLE = 78
"""Exit code of a child whose application can't be loaded (EX_CONFIG): only an edit can help."""


@dataclass(frozen=True, slots=True)
class Order:
    """What the supervisor asks a child to be. Its descriptors travel beside it: stdout, stderr, status, listener."""

    app: str
    root: str
    """Put first on the module path."""
    title: str
    """Shown by ps(1) as the name of the process; the kernel keeps 15 bytes."""
    env: dict[str, str] = field(default_factory=dict)


def become(order: Order, descriptors: Sequence[int]) -> None:
    """Turn this fresh fork into the service. Never returns."""
    code = 1
    try:
        _settle(order, descriptors)
        code = _serve(order)
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def _settle(order: Order, descriptors: Sequence[int]) -> None:
    stdout, stderr, status, listener = descriptors
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    for fd in _open_descriptors():
        if fd > 2 and fd not in (status, listener):
            with suppress(OSError):  # the listing's own descriptor is in the list, and closed by now
                os.close(fd)
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115 - a descriptor, for good
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.environ.update(order.env)
    os.environ["HANSE_LISTEN_FD"] = str(listener)
    os.environ[READY_FD] = str(status)
    sys.dont_write_bytecode = True  # a second edit within the clock tick of file systems must not meet stale bytecode
    sys.path.insert(0, order.root)
    if Path("/proc/self/comm").exists():
        Path("/proc/self/comm").write_text(order.title[:15])


def _serve(order: Order) -> int:
    """Serve until told to stop; the exit code."""
    from hanse.service.server import run

    status = int(os.environ[READY_FD])
    pipe = os.fstat(status).st_ino
    imported = False
    try:
        import_module(order.app.partition(":")[0])
        imported = True
        return run(order.app)
    except Exception as error:
        why = explain(error, order.root)
        _log(order, why, error)
        _report(status, pipe, f"failed {why}")
        return 1 if imported and not isinstance(error, ConfigurationError) else UNUSABLE


def _log(order: Order, why: str, error: Exception) -> None:
    """One record for the whole traceback, in the form of all logs."""
    trace = "".join(traceback.format_exception(_trimmed(error, order.root)))
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    facts = {
        "ts": at,
        "level": "error",
        "event": why,
        "service": order.env.get("HANSE_SERVICE", ""),
        "exception": trace,
    }
    print(json.dumps(facts), file=sys.stderr, flush=True)


def explain(error: BaseException, root: str) -> str:
    """One line: the innermost place in the application's own files, and what happened there."""
    if isinstance(error, SyntaxError) and error.filename:
        where = f"{_relative(error.filename, root)}:{error.lineno}: "
    else:
        own = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(root)]
        where = f"{_relative(own[-1].filename, root)}:{own[-1].lineno}: " if own else ""
    text = str(error.msg if isinstance(error, SyntaxError) else error).partition("\n")[0]
    return f"{where}{type(error).__name__}: {text}" if text else f"{where}{type(error).__name__}"


def _trimmed(error: Exception, root: str) -> Exception:
    """The error with the frames before the application's first one left out: they are always the same.

    A syntax error has its place in its message.
    """
    frame = error.__traceback__
    while frame is not None and not Path(frame.tb_frame.f_code.co_filename).is_relative_to(root):
        frame = frame.tb_next
    return error.with_traceback(frame) if frame is not None or isinstance(error, SyntaxError) else error


def _relative(filename: str, root: str) -> str:
    path = Path(filename)
    return str(path.relative_to(root)) if path.is_relative_to(root) else filename


def _report(status: int, pipe: int, line: str) -> None:
    """Tell the supervisor, unless the server has: then the descriptor is closed, and its number may be a file."""
    with suppress(OSError):
        if os.fstat(status).st_ino == pipe:
            os.write(status, f"{line}\n".encode())


def _open_descriptors() -> list[int]:
    folder = Path("/proc/self/fd")
    return [int(entry.name) for entry in list(folder.iterdir())] if folder.exists() else list(range(3, 256))
