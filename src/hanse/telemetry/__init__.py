"""Telemetry: what a node tells about itself: traces (OpenTelemetry), metrics (Prometheus), logs (JSON lines).

Purpose: spans and their export, metric families, structured logs that carry correlation and trace ids.
May import: core, config, opentelemetry-api (not the SDK), prometheus-client, structlog, orjson.
May touch: the log stream it is given; `OtlpHttpSink` a TCP connection to its endpoint.
Guarantees: never blocks and never fails the work it reports on; every buffer is bounded and counts what it drops.
"""

from hanse.telemetry.logs import Logs, configure_logging, get_logger
from hanse.telemetry.metrics import Metrics
from hanse.telemetry.otlp_http import OtlpHttpSink
from hanse.telemetry.propagation import extract, inject, parse_traceparent, traceparent
from hanse.telemetry.sink import MemorySink, NoSink, SpanSink
from hanse.telemetry.span import Span
from hanse.telemetry.tracer import Tracer, current_span, trace_id_hex

__all__ = [
    "Logs",
    "MemorySink",
    "Metrics",
    "NoSink",
    "OtlpHttpSink",
    "Span",
    "SpanSink",
    "Tracer",
    "configure_logging",
    "current_span",
    "extract",
    "get_logger",
    "inject",
    "parse_traceparent",
    "trace_id_hex",
    "traceparent",
]
