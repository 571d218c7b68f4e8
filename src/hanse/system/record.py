"""One log record: from a line that any process wrote to JSON for machines and to text for people."""

import json
from dataclasses import dataclass
from typing import Any

_SHOWN_APART = {"ts", "timestamp", "level", "event", "service", "version", "instance", "exception"}
_SHOWN_NEVER = {"trace_id", "span_id", "logger", "system"}
_OF_REQUEST = {"method", "path", "status", "duration_ms"}
_PALETTE = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)
_LEVELS = {"debug": 2, "warning": 33, "error": 31, "critical": 31}
_SHORT = {"warning": "warn", "critical": "fatal"}
_RESET = "\x1b[0m"
_DIM = 2
_RED = 31


@dataclass(frozen=True, slots=True)
class Record:
    """A line of a service's output."""

    service: str
    line: bytes
    """Without the line feed. JSON if the service wrote JSON."""
    at: str
    """When it was read, RFC 3339 UTC; used where the line has no time of its own."""
    error: bool = False
    """It came on stderr."""

    @property
    def fields(self) -> dict[str, Any]:
        """The record as a mapping; a line that is not JSON becomes the `event`."""
        if self.line.startswith(b"{"):
            try:
                found = json.loads(self.line)
            except ValueError:
                found = None
            if isinstance(found, dict):
                return found
        text = self.line.decode(errors="replace")
        return {"ts": self.at, "level": "error" if self.error else "info", "event": text, "service": self.service}

    def as_json(self) -> bytes:
        """One JSON object: the line as it came, or wrapped when it was not JSON."""
        if self.line.startswith(b"{") and self.line.endswith(b"}"):
            return self.line
        return json.dumps(self.fields, ensure_ascii=False).encode()

    def as_text(self, width: int, *, colour: bool) -> str:
        """For a person: time, service in `width` columns, level, message, then key=value; a traceback below."""
        fields = self.fields
        level = str(fields.get("level", "info"))
        time = str(fields.get("ts") or fields.get("timestamp") or self.at)[11:19]
        event, hidden = str(fields.get("event", "")), _SHOWN_APART | _SHOWN_NEVER
        if event == "request" and fields.keys() >= _OF_REQUEST:
            event, hidden = _request(fields), hidden | _OF_REQUEST | {"route", "client"}
        rest = {k: v for k, v in fields.items() if k not in hidden and v not in (None, "")}
        pairs = " ".join(f"{key}={_short(value)}" for key, value in rest.items())
        parts = (
            paint(time, _DIM, colour),
            paint(self.service.ljust(width), shade(self.service), colour),
            paint(_SHORT.get(level, level)[:5].ljust(5), _LEVELS.get(level, 0), colour),
            paint(event, _RED if level in {"error", "critical"} else 0, colour),
            paint(pairs, _DIM, colour),
        )
        text = "  ".join(part for part in parts if part)
        if trace := fields.get("exception"):
            text += "".join(f"\n{' ' * 10}{line}" for line in str(trace).splitlines())
        return text


def paint(text: str, code: int, colour: bool) -> str:
    """`text` in an ANSI colour; as it is when colour is off or `code` is 0."""
    return f"\x1b[{code}m{text}{_RESET}" if colour and code and text else text


def shade(service: str) -> int:
    """The colour of a service: always the same for the same name."""
    return _PALETTE[sum(map(ord, service)) % len(_PALETTE)]


def _request(fields: dict[str, Any]) -> str:
    """A served request in a few words: `POST /orders 201  5.6 ms`."""
    return f"{fields['method']} {fields['path']} {fields['status']}  {float(fields['duration_ms']):.1f} ms"


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return json.dumps(text) if " " in text else text
