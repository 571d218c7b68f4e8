"""Log lines are one JSON object each, and say which request they belong to."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from hanse.core import RequestContext, use
from hanse.telemetry import Logs, MemorySink, Tracer, configure_logging, get_logger


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def untouched_process() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_time_level_event_service_and_fields(stream: io.StringIO) -> None:
    Logs("orders", "1.2.0", instance="orders-1", stream=stream).logger("api").info("order placed", order_id="o1", n=2)
    (line,) = lines(stream)
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "info",
        "event": "order placed",
        "service": "orders",
        "version": "1.2.0",
        "instance": "orders-1",
        "logger": "api",
        "order_id": "o1",
        "n": 2,
    }


def test_a_line_carries_correlation_and_trace(stream: io.StringIO) -> None:
    log = Logs("orders", stream=stream).logger()
    with use(RequestContext(correlation_id="c-1")), Tracer("orders", MemorySink()).span("work") as span:
        log.warning("hm")
    (line,) = lines(stream)
    assert line["correlation_id"] == "c-1"
    assert line["trace_id"] == f"{span.trace_id:032x}"
    assert line["span_id"] == f"{span.span_id:016x}"


def test_an_exception_is_structured(stream: io.StringIO) -> None:
    log = Logs("orders", stream=stream).logger()
    try:
        raise ValueError("no stock")
    except ValueError:
        log.exception("failed")
    (line,) = lines(stream)
    assert (line["level"], line["exception"]["type"], line["exception"]["message"]) == (
        "error",
        "ValueError",
        "no stock",
    )
    assert 'raise ValueError("no stock")' in line["exception"]["stack"]


def test_lines_below_the_level_are_not_written(stream: io.StringIO) -> None:
    logs = Logs("orders", level="warning", stream=stream)
    logs.logger().info("quiet")
    logs.request({"status": 200})
    logs.logger().error("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_secrets_are_masked_and_strange_values_do_not_fail(stream: io.StringIO) -> None:
    log = Logs("orders", stream=stream).logger()
    log.info("login", password="hunter2", Authorization="Bearer x", who=object, huge=1 << 80, lone="\ud800")
    assert "hunter2" not in stream.getvalue()
    assert "Bearer" not in stream.getvalue()
    assert "login" in stream.getvalue()


async def test_request_lines_wait_and_keep_the_order(stream: io.StringIO) -> None:
    logs = Logs("orders", stream=stream)
    logs.request({"status": 200})
    assert stream.getvalue() == ""
    logs.logger().info("after")
    assert [line["event"] for line in lines(stream)] == ["request", "after"]
    logs.request({"status": 201})
    logs.flush()
    assert lines(stream)[-1]["status"] == 201


def test_without_a_loop_request_lines_are_written_at_once(stream: io.StringIO) -> None:
    Logs("orders", stream=stream).request({"status": 200})
    assert len(lines(stream)) == 1


@pytest.mark.usefixtures("untouched_process")
def test_the_standard_librarys_logging_ends_in_the_same_lines(stream: io.StringIO) -> None:
    early = get_logger("early")
    configure_logging("orders", "1.0", stream=stream)
    logging.getLogger("some.library").warning("disk %s", "full")
    early.info("hello")
    library, own = lines(stream)
    assert (library["level"], library["event"], library["logger"]) == ("warning", "disk full", "some.library")
    assert (own["event"], own["logger"], own["service"]) == ("hello", "early", "orders")


def test_text_is_for_a_person(stream: io.StringIO) -> None:
    log = Logs("orders", fmt="text", stream=stream).logger()
    try:
        raise ValueError("no stock")
    except ValueError as error:
        log.error("failed", order_id="o1", exc_info=error)
    text = stream.getvalue()
    assert "error   orders       failed  order_id=o1" in text
    assert "ValueError: no stock" in text


def test_a_closed_stream_does_not_fail_the_request(stream: io.StringIO) -> None:
    log = Logs("orders", stream=stream).logger()
    stream.close()
    log.info("nobody reads this")
