"""Where ended spans go."""

from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hanse.telemetry.span import Span

_MEMORY_SPANS = 10_000


class SpanSink(Protocol):
    """Takes each sampled span once, when it ends."""

    def put(self, span: "Span") -> None:
        """Take `span`; must not block, must not raise, must not keep more than a bounded number."""


class NoSink:
    """Forgets every span: for a service without an OTLP endpoint."""

    def put(self, span: "Span") -> None:
        """Forget `span`."""


class MemorySink:
    """Keeps the latest 10,000 spans, for tests and for looking at a single process."""

    def __init__(self) -> None:
        self.spans: deque[Span] = deque(maxlen=_MEMORY_SPANS)

    def put(self, span: "Span") -> None:
        """Keep `span`."""
        self.spans.append(span)

    def named(self, name: str) -> list["Span"]:
        """The kept spans of that name, in the order they ended."""
        return [span for span in self.spans if span.name == name]
