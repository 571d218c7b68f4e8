"""Whatever goes wrong, the caller gets a problem document that helps, and that tells nothing it should not."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import HTTPException
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from hanse import Service
from hanse.client import CallFailure, InvalidResponse, TimedOut, Unanswered, Unreachable, UpstreamError
from hanse.core.errors import (
    Conflict,
    DeadlineExceeded,
    HanseError,
    LimitExceeded,
    NotFound,
    OutcomeUnknown,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)

service = Service("errors")


def failed(kind: type[CallFailure], text: str) -> CallFailure:
    """What a client raises that got no answer from the service inventory."""
    error = kind(text, service="inventory", attempts=2)
    error.service = "inventory"
    return error


class Login(BaseModel):
    email: str
    password: str = Field(min_length=8)
    score: float = 0.0


ERRORS: dict[str, Exception] = {
    "not_found": NotFound("order o1 does not exist", order="o1"),
    "conflict": Conflict("already paid"),
    "denied": PermissionDenied("not yours"),
    "who": Unauthenticated("sign in"),
    "limit": LimitExceeded("slow down", retry_after=1.2),
    "unavailable": Unavailable("the disk is full"),
    "unknown": OutcomeUnknown("no answer"),
    "deadline": DeadlineExceeded("too late"),
    "internal": HanseError("this went wrong"),
    "http": HTTPException(418, "short and stout", {"x-tea": "yes"}),
    "http_details": HTTPException(409, {"held": 3}),
    "upstream_404": UpstreamError(404, {"code": "not_found", "detail": "no such stock"}, "inventory", "i-1", 1),
    "upstream_422": UpstreamError(422, {}, "inventory", "i-1", 1),
    "upstream_500": UpstreamError(500, {}, "inventory", "i-1", 1),
    "upstream_503": UpstreamError(503, {}, "inventory", "i-1", 3),
    "unreachable": failed(Unreachable, "GET /internal/stock: connection refused by 127.0.0.1:4711"),
    "unanswered": failed(Unanswered, "GET /internal/stock: [Errno 104] reset by 127.0.0.1:4711"),
    "timed_out": failed(TimedOut, "GET /internal/stock: 127.0.0.1:4711 took too long"),
    "invalid": failed(InvalidResponse, "GET /internal/stock: no such field in StockView"),
    "bug": KeyError("s3cret-of-the-stack"),
}


@service.get("/fail/{name}")
async def fail(name: str) -> None:
    raise ERRORS[name]


@service.post("/login")
async def login(body: Login) -> Login:
    return body


@service.get("/number/{n}")
async def number(n: int, limit: int = 10) -> int:
    return n + limit


@service.get("/wrong-answer")
async def wrong_answer() -> Login:
    return {"email": 1}  # type: ignore[return-value]


@service.get("/breaks-off")
async def breaks_off() -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"half"
        raise ValueError("in the middle")

    return StreamingResponse(parts())


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("not_found", 404, "not_found"),
        ("conflict", 409, "conflict"),
        ("denied", 403, "permission_denied"),
        ("who", 401, "unauthenticated"),
        ("limit", 429, "limit_exceeded"),
        ("unavailable", 503, "unavailable"),
        ("unknown", 504, "outcome_unknown"),
        ("deadline", 504, "deadline_exceeded"),
        ("internal", 500, "internal"),
        ("http", 418, "request_failed"),
        ("http_details", 409, "conflict"),
        ("upstream_404", 502, "upstream_error"),
        ("upstream_422", 502, "upstream_error"),
        ("upstream_500", 502, "upstream_error"),
        ("upstream_503", 503, "upstream_error"),
        ("unreachable", 503, "unavailable"),
        ("unanswered", 504, "outcome_unknown"),
        ("timed_out", 504, "deadline_exceeded"),
        ("invalid", 502, "invalid_response"),
        ("bug", 500, "internal"),
    ],
)
async def test_every_error_is_a_problem(run: Any, name: str, status: int, code: str) -> None:
    async with run(service) as call:
        answer = await call("GET", f"/fail/{name}", headers={"x-correlation-id": "c-1"})
        problem = answer.json()
        assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
        assert (problem["status"], problem["code"], problem["instance"]) == (status, code, f"/fail/{name}")
        assert problem["type"] == f"urn:hanse:problem:{code}"
        assert problem["title"]
        assert problem["correlation_id"] == answer.headers["x-correlation-id"] == "c-1"
        assert len(answer.headers["x-trace-id"]) == 32
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_what_an_error_says_reaches_the_caller(run: Any) -> None:
    async with run(service) as call:
        not_found = (await call("GET", "/fail/not_found")).json()
        assert (not_found["detail"], not_found["details"]) == ("order o1 does not exist", {"order": "o1"})
        assert (await call("GET", "/fail/limit")).headers["retry-after"] == "2"
        assert (await call("GET", "/fail/who")).headers["www-authenticate"] == "Bearer"
        tea = await call("GET", "/fail/http")
        assert (tea.json()["detail"], tea.headers["x-tea"]) == ("short and stout", "yes")
        assert (await call("GET", "/fail/http_details")).json()["details"] == {"held": 3}
        upstream = (await call("GET", "/fail/upstream_404")).json()
        assert upstream["detail"] == 'The service "inventory" answered 404.'
        assert upstream["upstream"] == {"service": "inventory", "status": 404, "code": "not_found"}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("unreachable", "is not available."),
        ("unanswered", "did not answer in time."),
        ("timed_out", "did not answer in time."),
        ("invalid", "sent an answer that can't be understood."),
    ],
)
async def test_a_call_that_failed_names_the_service_and_nothing_inside(run: Any, name: str, says: str) -> None:
    async with run(service) as call:
        problem = (await call("GET", f"/fail/{name}")).json()
        assert problem["detail"] == f'The service "inventory" {says}'
        assert problem["upstream"] == {"service": "inventory"}
        assert not [text for text in ("/internal", "127.0.0.1", "Errno", "StockView") if text in json.dumps(problem)]
        (line,) = [line for line in call.log if line["event"] == "request failed"]
        assert "/internal/stock" in line["error"]


async def test_a_bug_says_nothing_to_the_caller_and_everything_to_the_log(run: Any) -> None:
    async with run(service) as call:
        answer = await call("GET", "/fail/bug", headers={"x-correlation-id": "c-7"})
        assert b"s3cret" not in answer.body
        assert b"Traceback" not in answer.body
        (line,) = [line for line in call.log if line["event"] == "request failed"]
        assert (line["level"], line["correlation_id"]) == ("error", "c-7")
        assert line["trace_id"] == answer.headers["x-trace-id"]
        assert "s3cret-of-the-stack" in line["exception"]["stack"]


async def test_an_expected_failure_is_logged_without_a_stack(run: Any) -> None:
    async with run(service) as call:
        await call("GET", "/fail/unavailable")
        (line,) = [line for line in call.log if line["event"] == "request failed"]
        assert (line["level"], line["code"], "exception" in line) == ("warning", "unavailable", False)
        await call("GET", "/fail/not_found")
        assert len([line for line in call.log if line["event"] == "request failed"]) == 1


async def test_unknown_paths_and_methods(run: Any) -> None:
    async with run(service) as call:
        missing = await call("GET", "/nowhere")
        assert (missing.status, missing.json()["code"]) == (404, "not_found")
        wrong = await call("DELETE", "/login")
        assert (wrong.status, wrong.json()["code"], wrong.headers["allow"]) == (405, "method_not_allowed", "POST")
        head = await call("HEAD", "/nowhere")
        assert (head.status, head.body) == (404, b"")


async def test_wrong_fields_are_named_and_not_repeated(run: Any) -> None:
    async with run(service) as call:
        answer = await call("POST", "/login", json_body={"password": "hunter2"})
        problem = answer.json()
        assert (answer.status, problem["code"]) == (422, "invalid_input")
        assert problem["errors"] == [
            {"in": "body", "field": "email", "message": "Field required", "type": "missing"},
            {
                "in": "body",
                "field": "password",
                "message": "String should have at least 8 characters",
                "type": "string_too_short",
            },
        ]
        assert b"hunter2" not in answer.body
        answer = await call("GET", "/number/x?limit=y")
        assert [(entry["in"], entry["field"]) for entry in answer.json()["errors"]] == [
            ("path", "n"),
            ("query", "limit"),
        ]


@pytest.mark.parametrize(
    "body",
    [
        b'{"email": ',
        b"{'email': 'x'}",
        b'{"email": "\xff", "password": "longenough"}',
        b'{"email": "\\ud800", "password": "longenough"}',
        b'{"email": "a", "password": "longenough", "score": NaN}',
        b'{"email": "a", "password": "longenough", "score": Infinity}',
        b"[" * 100_000,
        b"[]",
        b"null",
        b'"text"',
        b"\x00",
    ],
)
async def test_a_malformed_body_is_a_422(run: Any, body: bytes) -> None:
    async with run(service) as call:
        answer = await call("POST", "/login", body=body, headers={"content-type": "application/json"})
        assert (answer.status, answer.json()["code"]) == (422, "invalid_input")
        assert answer.json()["errors"]
        assert not [line for line in call.log if line["level"] == "error"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_body_that_is_not_declared_as_json_is_a_422(run: Any, kind: str) -> None:
    async with run(service) as call:
        body = json.dumps({"email": "a", "password": "longenough"}).encode()
        answer = await call("POST", "/login", body=body, headers={"content-type": kind} if kind else {})
        assert answer.status == 422


async def test_an_answer_that_breaks_its_own_model_is_our_fault(run: Any) -> None:
    async with run(service) as call:
        answer = await call("GET", "/wrong-answer")
        assert (answer.status, answer.json()["code"]) == (500, "internal")
        assert "errors" not in answer.json()


async def test_a_response_that_breaks_in_the_middle_breaks_the_connection(run: Any) -> None:
    async with run(service) as call:
        with pytest.raises(BaseException) as caught:
            await call("GET", "/breaks-off")
        assert "in the middle" in repr(caught.value) or isinstance(caught.value, BaseExceptionGroup)
        assert any(line["event"] == "request failed" for line in call.log)
