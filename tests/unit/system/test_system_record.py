"""A log line: as it came for machines, readable for people."""

import json

from hanse.system.record import Record

AT = "2026-11-21T06:25:26.758Z"
JSON = b'{"ts":"2026-11-21T06:25:01.000Z","level":"warning","event":"late","order":"a b","trace_id":"7"}'


def test_json_passes_through_untouched() -> None:
    assert Record("orders", JSON, AT).as_json() == JSON


def test_any_other_line_is_wrapped() -> None:
    facts = json.loads(Record("orders", "grüß {".encode(), AT, error=True).as_json())
    assert facts == {"ts": AT, "level": "error", "event": "grüß {", "service": "orders"}


def test_broken_json_and_broken_utf8_are_text() -> None:
    assert json.loads(Record("orders", b"{oops", AT).as_json())["event"] == "{oops"
    assert json.loads(Record("orders", b"\xff\xfe", AT).as_json())["event"] == "\ufffd\ufffd"
    assert json.loads(Record("orders", b"[1]", AT).as_json())["event"] == "[1]"


def test_text_is_aligned_and_leaves_out_what_only_machines_read() -> None:
    assert Record("orders", JSON, AT).as_text(8, colour=False) == '06:25:01  orders    warn   late  order="a b"'


def test_a_served_request_is_told_in_a_few_words() -> None:
    facts = {
        "method": "POST",
        "path": "/orders",
        "route": "/orders",
        "status": 201,
        "duration_ms": 5.612,
        "client": "::1",
    }
    line = json.dumps({"event": "request", "level": "info", "correlation_id": "c1", **facts}).encode()
    assert Record("o", line, AT).as_text(1, colour=False) == (
        "06:25:26  o  info   POST /orders 201  5.6 ms  correlation_id=c1"
    )


def test_a_traceback_is_shown_below() -> None:
    line = json.dumps({"event": "broke", "level": "error", "exception": "Traceback:\n  x"}).encode()
    assert Record("o", line, AT).as_text(1, colour=False) == (
        "06:25:26  o  error  broke\n          Traceback:\n            x"
    )


def test_colour_is_the_same_for_the_same_service() -> None:
    one, two = (Record("orders", line, AT).as_text(6, colour=True) for line in (b"a", b"a"))
    assert one == two
    assert "\x1b[" in one
    assert "\x1b[" not in Record("orders", b"a", AT).as_text(6, colour=False)
