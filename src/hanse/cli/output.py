"""What the verbs print: tables, errors, colour only where a person looks."""

import json
import os
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from hanse.system.record import paint

_STATES = {"ready": 32, "starting": 33, "restarting": 33, "failed": 31, "stopped": 2}
_HEAD = ("SERVICE", "REPLICAS", "STATE", "START", "MEMORY", "ADDRESS")
_STATE_COLUMN = 2
_BOLD = 1
_RED = 31
_ADDRESSES = 3


def colourful(stream: TextIO) -> bool:
    """Whether to use colour: on a terminal, unless NO_COLOR is set (no-color.org) or it can't show any."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def say_json(facts: Any, stream: TextIO | None = None) -> None:
    """One JSON value on a line."""
    print(json.dumps(facts, default=str, ensure_ascii=False), file=stream or sys.stdout, flush=True)


def complain(message: str, as_json: bool) -> None:
    """An error: on stderr, one line per problem; as JSON on stdout for programs."""
    if as_json:
        say_json({"error": message})
        return
    for line in message.splitlines():
        print(f"{paint('error', _RED, colourful(sys.stderr))}: {line}", file=sys.stderr)


def status_table(status: dict[str, Any], *, colour: bool) -> str:
    """The services of a system, aligned, with a line for each that has something to say about its state."""
    rows = [_row(service) for service in status["services"]]
    widths = [max(len(row[i]) for row in (_HEAD, *rows)) for i in range(len(_HEAD))]
    lines = [f"  {_aligned(_HEAD, widths, _BOLD if colour else 0)}"]
    for row in rows:
        lines.append(f"  {_aligned(row, widths, 0, _STATES.get(row[_STATE_COLUMN], 0) if colour else 0)}")
    for service in status["services"]:
        if service["reason"]:
            lines.append(f"  {service['service']}: {service['reason']}")
    return "\n".join(lines)


def headline(status: dict[str, Any], *, colour: bool) -> str:
    """`shop is up in 2.1 s   gateway http://127.0.0.1:8080`, or what it is otherwise."""
    bad = sum(1 for service in status["services"] if service["state"] != "ready" and service["replicas"])
    took = f" in {status['up_s']:.1f} s" if status["up_s"] is not None else ""
    name = paint(status["system"], _BOLD, colour)
    text = f"  {name} is {status['state']}{took if status['state'] == 'up' else ''}"
    if bad and status["state"] == "up":
        text += f", {bad} of {len(status['services'])} services not ready"
    if status["gateway"]:
        text += f"   gateway {paint(status['gateway'], _BOLD, colour)}"
    return text


def _row(service: dict[str, Any]) -> tuple[str, ...]:
    addresses = [replica["address"] for replica in service["replicas"]]
    more = ", …" if len(addresses) > _ADDRESSES else ""
    return (
        service["service"],
        str(len(service["replicas"])),
        service["state"],
        "-" if service["start_s"] is None else f"{service['start_s']:.2f} s",
        f"{service['memory_bytes'] / (1 << 20):.0f} MB" if service["memory_bytes"] else "-",
        ", ".join(addresses[:_ADDRESSES]) + more,
    )


def _aligned(row: Sequence[str], widths: Sequence[int], whole: int, state: int = 0) -> str:
    cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
    cells[_STATE_COLUMN] = paint(cells[_STATE_COLUMN], state, bool(state))
    return paint("  ".join(cells).rstrip(), whole, bool(whole))
