"""Logs: JSON lines on stdout that carry the correlation id and the trace of the request they were written in."""

import asyncio
import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import orjson
import structlog
from opentelemetry import trace
from structlog.typing import FilteringBoundLogger

from hanse.core import Clock, SystemClock, current
from hanse.telemetry.span import Span

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_SECRETS = frozenset({"password", "secret", "token", "authorization", "api_key", "cookie", "private_key"})
_MAX_STACK = 16_384
_FLUSH_S = 0.05
_FLUSH_BYTES = 32_768
_JSON_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS

Fields = MutableMapping[str, Any]


class Logs:
    """The log of one service.

    Args:
        service, version, instance: stand in every line.
        level: "debug", "info", "warning" or "error"; anything below is not written.
        fmt: "json" (one object a line: ts, level, event, service, …) or "text" for a person's terminal.
        stream: where lines go; None takes stdout.

    Guarantees: fields named like a secret are masked; a value that JSON does not know is written as text; an
    exception is an object of type, message and stack.
    """

    def __init__(
        self,
        service: str,
        version: str = "",
        *,
        instance: str = "",
        level: str = "info",
        fmt: str = "json",
        stream: TextIO | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.level = LEVELS[level]
        self._facts = {"service": service, "version": version, "instance": instance}
        self._facts = {key: value for key, value in self._facts.items() if value}
        self._render = _to_json if fmt == "json" else _to_text
        self._stream = stream if stream is not None else sys.stdout
        self._clock = clock or SystemClock()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0

    def logger(self, name: str = "") -> FilteringBoundLogger:
        """A structlog logger that writes here; `name` stands in its lines as `logger`."""
        return cast("FilteringBoundLogger", structlog.wrap_logger(_Lines(self, name), **self._structlog()))

    def install(self) -> None:
        """Make this the log of the process: of `get_logger`, and of every library that uses `logging`."""
        structlog.configure(logger_factory=lambda name="": _Lines(self, name), **self._structlog())
        root = logging.getLogger()
        root.handlers = [_Handler(self)]
        root.setLevel(self.level)

    def request(self, fields: Fields) -> None:
        """Write the line of one served request, at info; buffered for at most 50 ms or 32 KiB.

        Args:
            fields: everything but time, level and the service's facts, which are put in front.
        """
        if self.level > logging.INFO:
            return
        line = self._render({"ts": self._clock.utc(), "level": "info", "event": "request", **self._facts, **fields})
        if not self._waiting:
            try:
                asyncio.get_running_loop().call_later(_FLUSH_S, self.flush)
            except RuntimeError:  # no loop: nobody would flush
                self._write(line)
                return
        self._waiting.append(line)
        self._waiting_bytes += len(line)
        if self._waiting_bytes > _FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is buffered."""
        if self._waiting:
            lines, self._waiting, self._waiting_bytes = self._waiting, [], 0
            self._write(b"".join(lines))

    def emit(self, line: bytes) -> None:
        """Write a finished line now, after those that wait."""
        self._waiting.append(line)
        self.flush()

    def finish(self, level: str, fields: Fields) -> bytes:
        """Complete the fields of an application's line with time, facts and context, and render them."""
        complete: dict[str, Any] = {"ts": self._clock.utc(), "level": level, "event": fields.pop("event", "")}
        complete.update(self._facts)
        if correlation_id := current().correlation_id:
            complete["correlation_id"] = correlation_id
        span = trace.get_current_span()
        if isinstance(span, Span):
            complete["trace_id"], complete["span_id"] = f"{span.trace_id:032x}", f"{span.span_id:016x}"
        error = _error_of(fields.pop("exc_info", None))
        for key, value in fields.items():
            complete[key] = "***" if key.lower() in _SECRETS else value
        if error is not None:
            complete["exception"] = {
                "type": type(error).__qualname__,
                "message": str(error),
                "stack": "".join(traceback.format_exception(error))[-_MAX_STACK:],
            }
        return self._render(complete)

    def _structlog(self) -> dict[str, Any]:
        return {
            "processors": [self._process],
            "wrapper_class": structlog.make_filtering_bound_logger(self.level),
            "cache_logger_on_first_use": False,
        }

    def _process(self, logger: Any, method: str, fields: Fields) -> bytes:
        if logger.name:
            fields.setdefault("logger", logger.name)
        if method == "exception":
            fields.setdefault("exc_info", True)
            method = "error"
        return self.finish("warning" if method == "warn" else method, fields)

    def _write(self, data: bytes) -> None:
        try:
            binary = getattr(self._stream, "buffer", None)
            if binary is not None:
                binary.write(data)
            else:
                self._stream.write(data.decode())
            self._stream.flush()
        except (OSError, ValueError):
            return  # whoever reads the log is gone; there is nobody left to tell


class _Lines:
    """What structlog calls with a rendered line."""

    def __init__(self, logs: Logs, name: str) -> None:
        self.name = name
        self._logs = logs

    def msg(self, line: bytes) -> None:
        self._logs.emit(line)

    debug = info = warning = warn = error = critical = exception = fatal = log = msg


class _Handler(logging.Handler):
    """Routes the standard library's records into the same lines."""

    def __init__(self, logs: Logs) -> None:
        super().__init__(logs.level)
        self._logs = logs

    def emit(self, record: logging.LogRecord) -> None:
        try:
            fields = {"event": record.getMessage(), "logger": record.name, "exc_info": record.exc_info}
            self._logs.emit(self._logs.finish(record.levelname.lower(), fields))
        except Exception:
            self.handleError(record)


def _error_of(info: Any) -> BaseException | None:
    if info is True:
        return sys.exception()
    if isinstance(info, tuple):
        return cast("BaseException | None", info[1])
    return info if isinstance(info, BaseException) else None


def _to_json(fields: Fields) -> bytes:
    try:
        return orjson.dumps(fields, default=str, option=_JSON_OPTIONS) + b"\n"
    except TypeError:  # for example an integer beyond 64 bits, or a text that is not Unicode
        return orjson.dumps({str(key): ascii(value) for key, value in fields.items()}) + b"\n"


def _to_text(fields: Fields) -> bytes:
    rest = dict(fields)
    at, level, event = rest.pop("ts"), rest.pop("level"), rest.pop("event")
    service, error = rest.pop("service", ""), rest.pop("exception", None)
    facts = " ".join(f"{key}={value}" for key, value in rest.items() if key not in ("version", "instance", "span_id"))
    line = f"{at:%H:%M:%S.%f} {level:<7} {service:<12} {event}  {facts}".rstrip() + "\n"
    return (line + (error["stack"] if error else "")).encode("utf-8", "replace")


def configure_logging(
    service: str, version: str = "", level: str = "info", fmt: str = "json", stream: TextIO | None = None
) -> Logs:
    """Make a log and install it as that of the process; see `Logs` for the arguments."""
    logs = Logs(service, version, level=level, fmt=fmt, stream=stream)
    logs.install()
    return logs


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger of the process's installed log; takes effect also when it was made before `configure_logging`."""
    return cast("FilteringBoundLogger", structlog.get_logger(name))
