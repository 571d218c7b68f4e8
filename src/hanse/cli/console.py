"""`Console`: what `hanse up` shows while it starts and while it runs."""

import asyncio
import os
import sys
from collections import deque
from pathlib import Path
from shutil import get_terminal_size
from typing import Any, TextIO

from hanse.cli.output import colourful, headline, say_json, status_table
from hanse.core import Env
from hanse.system.record import Record, paint
from hanse.system.supervisor import Witness

_PENDING_LINES = 20_000
_MARKS = {"ready": ("✓", 32), "failed": ("✗", 31), "restarting": ("✗", 31), "starting": ("…", 33)}
_DIM = 2
_ERASE = "\r\x1b[2K"


class Console(Witness):
    """A progress line, then the table, then one stream of logs.

    On a terminal logs are text, coloured by service. Elsewhere stdout is JSON lines and nothing else, and the table
    goes to stderr. A reader who does not read stops nobody: lines wait, 20,000 of them, then the oldest are dropped.

    Args:
        services: for the width of their column.
        as_json: JSON even on a terminal, and no table.
    """

    def __init__(self, env: Env, services: list[str], *, as_json: bool) -> None:
        self._env = env
        self._as_json = as_json
        self._text = sys.stdout.isatty() and not as_json
        self._colour = self._text and colourful(sys.stdout)
        self._width = max(map(len, [*services, "hanse"]))
        self._parts: dict[str, str] = {}
        self._starting = True
        self._pending: deque[str] = deque(maxlen=_PENDING_LINES)
        self._dropped = 0
        self._writer: asyncio.Task[None] | None = None

    def began(self, part: str) -> None:
        self._parts.setdefault(part, "")
        self._progress()

    def came(self, part: str, state: str) -> None:
        self._parts[part] = state
        self._progress()

    def up(self, status: dict[str, Any]) -> None:
        self._erase()
        self._starting = False
        if self._as_json or not self._text:
            self._line(_json({"event": "up", "level": "info", "service": "hanse", **status}))
        if self._as_json:
            return
        out: TextIO = sys.stdout if self._text else sys.stderr
        table = f"{headline(status, colour=self._colour)}\n{status_table(status, colour=self._colour)}"
        if out is sys.stdout:
            self._line(table)
        else:
            print(table, file=out, flush=True)

    def hear(self, record: Record) -> None:
        """A log record: show it."""
        if self._text:
            self._erase()
            self._line(record.as_text(self._width, colour=self._colour))
            self._progress()
        else:
            self._line(record.as_json().decode(errors="replace"))

    async def finish(self) -> None:
        """Say that it has ended, and write what is still to be written, for at most a second."""
        self._erase()
        if self._text:
            self._line(f"  {self._env.node} is down")
        try:
            async with asyncio.timeout(1.0):
                while self._writer is not None:
                    await asyncio.wait([self._writer])
        except TimeoutError:
            return  # a reader that does not read
        self._write()

    def _progress(self) -> None:
        """`starting nats ✓ envoy … users ✓`, on one line that is written over; on a terminal only."""
        if not (self._text and self._starting and self._parts):
            return
        columns = get_terminal_size().columns
        sys.stdout.write(f"{_ERASE}  {progress(self._parts, columns - 3, colour=self._colour)}")
        sys.stdout.flush()

    def _erase(self) -> None:
        if self._text and self._starting and self._parts:
            sys.stdout.write(_ERASE)

    def _line(self, text: str) -> None:
        if len(self._pending) == _PENDING_LINES:
            self._dropped += 1
        self._pending.append(text)
        if self._starting and self._text:
            self._write()  # in step with the progress line
        elif self._writer is None:
            self._writer = self._env.scope.spawn(self._drain(), name="console")

    async def _drain(self) -> None:
        try:
            while self._pending:
                await self._env.scope.blocking(self._write)
        finally:
            self._writer = None

    def _write(self) -> None:
        dropped, self._dropped = self._dropped, 0
        lines = [self._pending.popleft() for _ in range(len(self._pending))]
        if dropped:
            lines.append(_json({"event": f"{dropped} lines dropped: nobody read them", "level": "warning"}))
        try:
            sys.stdout.write("\n".join(lines) + "\n" if lines else "")
            sys.stdout.flush()
        except BrokenPipeError:
            # Whoever read has gone; the system runs on, and its logs are in the files. What is still buffered must go
            # nowhere, else the interpreter fails on it at the end (https://docs.python.org/3/library/signal.html).
            with Path(os.devnull).open("w") as nowhere:
                os.dup2(nowhere.fileno(), sys.stdout.fileno())
        except ValueError:
            return  # stdout is closed


def progress(parts: dict[str, str], columns: int, *, colour: bool) -> str:
    """`starting nats ✓ envoy … users ✓`; where that is too wide, how many are up and who is still awaited.

    Args:
        parts: name → state, empty while it is being started.
        columns: the longest that the line may be, colours not counted.
    """
    head, names = "starting", list(parts)
    if len(head) + sum(len(name) + 3 for name in names) > columns:
        names = [name for name, state in parts.items() if state != "ready"]
        head = f"starting, {len(parts) - len(names)} of {len(parts)} are ready,"
    left, shown = columns - len(head), [paint(head, _DIM, colour)]
    for name in names:
        left -= len(name) + 3
        if left < 0:
            break
        mark, shade = _MARKS.get(parts[name], ("…", _DIM))
        shown.append(f"{name} {paint(mark, shade, colour)}")
    return " ".join(shown)


def _json(facts: dict[str, Any]) -> str:
    from io import StringIO

    text = StringIO()
    say_json(facts, text)
    return text.getvalue().rstrip()
