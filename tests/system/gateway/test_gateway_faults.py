"""Every row of the fault list, asked of a real Envoy: problem+json with the correlation id, and never a stack trace."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import jwt
import pytest
import pytest_asyncio
from tests.system.gateway.rig import Answer, Client, Issuer, Upstream, free_port, gateway

from hanse.gateway import Cluster, GatewayModel, Route

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]
MIB = 1 << 20
API_KEY = "partner-key-0123456789"


@dataclass
class Rig:
    ask: Client
    issuer: Issuer
    upstream: Upstream


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    upstream, issuer = await Upstream("orders-1").start(), Issuer()
    routes = (
        Route("/api/orders", "orders", strip="/api", auth=True),
        Route("/api/admin", "orders", roles=("admin", "boss")),
        Route("/api/limited", "orders", limit="3/hour"),
        Route("/api/each", "orders", auth=True, limit="2/hour per user"),
        Route("/api/partner", "orders", api_key=True, limit="2/hour per key"),
        Route("/api/quick", "orders", limit="2/second"),
        Route("/api/read", "orders", methods=("GET",)),
        Route("/api/down", "warehouse"),
        Route("/api/refusing", "cellar", strip="/api"),
        Route("/api/hurry", "orders", strip="/api/hurry", timeout=0.2),
        Route("/open", "orders", strip="/open"),
        Route("/big", "orders", max_body_bytes=3 * MIB),
    )
    clusters = {"orders": Cluster((upstream.endpoint,)), "cellar": Cluster((Upstream("x", port=free_port()).endpoint,))}
    keys = {"partner": API_KEY, "other": "other-key-0123456789"}
    model = GatewayModel(routes, (issuer.provider(),), clusters, api_keys=keys)
    async with gateway(tmp_path_factory.mktemp("faults")) as envoy:
        await envoy.publish(model)
        await envoy.start()
        yield Rig(Client(envoy.port), issuer, upstream)
    await upstream.stop()


def check_problem(answer: Answer, status: int, code: str, says: str = "") -> dict[str, Any]:
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["code"]) == (status, code)
    assert body["type"] == "about:blank"
    assert body["title"]
    assert body["instance"].startswith("/")
    assert body["correlation_id"] == answer.correlation_id
    assert len(answer.correlation_id) >= 8
    assert says in body["detail"], body
    assert "Traceback" not in answer.body.decode()
    return body


async def test_no_token_is_401(rig: Rig) -> None:
    check_problem(await rig.ask("GET", "/api/orders"), 401, "unauthenticated", "Jwt is missing")


def forged(issuer: Issuer, header: dict[str, str], signature: bytes) -> str:
    parts = (json.dumps(part).encode() for part in (header, issuer.claims()))
    return ".".join(base64.urlsafe_b64encode(p).rstrip(b"=").decode() for p in (*parts, signature))


def hs256_with_the_public_key(issuer: Issuer) -> str:
    unsigned = forged(issuer, {"alg": "HS256", "typ": "JWT", "kid": issuer.kid}, b"").rstrip(".")
    mac = hmac.new(issuer.public, unsigned.encode(), hashlib.sha256).digest()
    return f"{unsigned}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


BAD_TOKENS = {
    "expired": lambda i: i.token(exp=int(time.time()) - 60),
    "not yet valid": lambda i: i.token(nbf=int(time.time()) + 600),
    "foreign key, known kid": lambda i: Issuer(i.kid).token(),
    "foreign key, unknown kid": lambda i: Issuer("k9").token(),
    "alg none": lambda i: jwt.encode(i.claims(), None, "none", headers={"kid": i.kid}),
    "alg none with a signature": lambda i: forged(i, {"alg": "none", "kid": i.kid}, b"x" * 64),
    "HS256 with the public key": hs256_with_the_public_key,
    "other issuer": lambda i: i.token(iss="somebody"),
    "other audience": lambda i: i.token(aud="bank"),
    "changed claims": lambda i: ".".join(
        (i.token().split(".")[0], i.token(roles=["admin"]).split(".")[1], i.token().split(".")[2])
    ),
    "without an end": lambda i: i.token(exp=None),
    "without a subject": lambda i: i.token(sub=None),
    "with an empty subject": lambda i: i.token(sub=""),
    "nonsense": lambda i: "a.b.c",
    "empty": lambda i: "",
}


@pytest.mark.parametrize("kind", BAD_TOKENS)
async def test_a_bad_token_is_401(rig: Rig, kind: str) -> None:
    seen = len(rig.upstream.seen)
    answer = await rig.ask("GET", "/api/orders", authorization=f"Bearer {BAD_TOKENS[kind](rig.issuer)}")
    check_problem(answer, 401, "unauthenticated")
    assert len(rig.upstream.seen) == seen, "it must not reach the service"


async def test_a_good_token_reaches_the_service(rig: Rig) -> None:
    answer = await rig.ask("GET", "/api/orders/7?x=1", **rig.issuer.bearer())
    assert answer.status == 200
    told = answer.json()
    assert told["path"] == "/orders/7?x=1"
    assert told["headers"]["authorization"].startswith("Bearer ey")
    assert told["headers"]["x-user-id"] == "ada"


async def test_a_token_may_come_in_the_query_for_browsers_streams(rig: Rig) -> None:
    assert (await rig.ask("GET", f"/api/orders?access_token={rig.issuer.token()}")).status == 200


@pytest.mark.parametrize("roles", [[], ["buyer"], ["administrator"], "admin", None])
async def test_a_wrong_role_is_403(rig: Rig, roles: Any) -> None:
    answer = await rig.ask("GET", "/api/admin/x", **rig.issuer.bearer(roles=roles))
    check_problem(answer, 403, "permission_denied", "one of the roles: admin, boss")


@pytest.mark.parametrize("roles", [["admin"], ["buyer", "boss"]])
async def test_a_right_role_passes(rig: Rig, roles: list[str]) -> None:
    assert (await rig.ask("GET", "/api/admin/x", **rig.issuer.bearer(roles=roles))).status == 200


async def test_a_role_needs_a_token_first(rig: Rig) -> None:
    check_problem(await rig.ask("GET", "/api/admin/x"), 401, "unauthenticated")


@pytest.mark.parametrize(
    "path", ["/nowhere", "/api", "/api/ordersx", "/open/internal/x", "/open/%69nternal", "/open//internal"]
)
async def test_an_unknown_route_is_404(rig: Rig, path: str) -> None:
    check_problem(await rig.ask("GET", path), 404, "not_found")


async def test_an_unrouted_method_is_405_with_what_is_allowed(rig: Rig) -> None:
    answer = await rig.ask("POST", "/api/read", b"{}")
    check_problem(answer, 405, "method_not_allowed", "GET")
    assert answer.headers["allow"] == "GET"


async def test_a_body_over_the_limit_is_413(rig: Rig) -> None:
    assert (await rig.ask("POST", "/open/x", b"x" * MIB)).json()["bytes"] == MIB
    answer = await rig.ask("POST", "/open/x", b"x" * (MIB + 1))
    check_problem(answer, 413, "payload_too_large", str(MIB))


async def test_a_chunked_body_over_the_limit_is_413(rig: Rig) -> None:
    def chunks(total: int) -> Any:
        return iter([b"x" * 4096] * (total // 4096))

    assert (await rig.ask("POST", "/open/x", chunks(MIB))).json()["bytes"] == MIB
    check_problem(await rig.ask("POST", "/open/x", chunks(MIB + 8192)), 413, "payload_too_large", str(MIB))


async def test_a_route_may_take_more(rig: Rig) -> None:
    assert (await rig.ask("POST", "/big", b"x" * (2 * MIB))).json()["bytes"] == 2 * MIB
    check_problem(await rig.ask("POST", "/big", b"x" * (3 * MIB + 1)), 413, "payload_too_large", str(3 * MIB))


async def test_a_limit_per_address_is_429_with_retry_after(rig: Rig) -> None:
    answers = [await rig.ask("GET", "/api/limited") for _ in range(4)]
    assert [a.status for a in answers] == [200, 200, 200, 429]
    assert [a.headers["x-ratelimit-remaining"] for a in answers] == ["2", "1", "0", "0"]
    check_problem(answers[-1], 429, "limit_exceeded", "3 in 3600 s per ip")
    assert answers[-1].headers["retry-after"] == "1200"


async def test_routes_without_a_limit_speak_of_none(rig: Rig) -> None:
    for path in ("/open/x", "/nowhere"):
        assert "x-ratelimit-limit" not in (await rig.ask("GET", path)).headers


async def test_a_limit_per_user_counts_each_user(rig: Rig) -> None:
    async def as_user(name: str) -> int:
        return (await rig.ask("GET", "/api/each", **rig.issuer.bearer(sub=name))).status

    assert [await as_user("bo"), await as_user("bo"), await as_user("bo"), await as_user("cy")] == [200, 200, 429, 200]


async def test_a_limit_per_key_counts_each_client(rig: Rig) -> None:
    check_problem(await rig.ask("GET", "/api/partner"), 401, "unauthenticated")
    check_problem(await rig.ask("GET", "/api/partner", X_API_Key="guess-0123456789"), 401, "unauthenticated")
    first = await rig.ask("GET", "/api/partner", X_API_Key=API_KEY, x_client_id="other")
    assert first.json()["headers"]["x-client-id"] == "partner"
    assert "x-api-key" not in first.json()["headers"]
    assert [(await rig.ask("GET", "/api/partner", X_API_Key=API_KEY)).status for _ in range(2)] == [200, 429]
    assert (await rig.ask("GET", "/api/partner", X_API_Key="other-key-0123456789")).status == 200


async def test_after_retry_after_a_request_passes(rig: Rig) -> None:
    while (answer := await rig.ask("GET", "/api/quick")).status == 200:
        pass
    assert answer.headers["retry-after"] == "1"
    async with asyncio.timeout(1.0):
        while (await rig.ask("GET", "/api/quick")).status != 200:
            pass


@pytest.mark.parametrize(("path", "service"), [("/api/down", "warehouse"), ("/api/refusing", "cellar")])
async def test_a_service_that_is_down_is_503_that_names_it(rig: Rig, path: str, service: str) -> None:
    body = check_problem(await rig.ask("GET", path), 503, "unavailable", f"The service {service} is not available")
    assert (body["service"], body["instance"]) == (service, path)
    check_problem(await rig.ask("POST", path, b"{}"), 503, "unavailable", service)


async def test_a_service_that_does_not_answer_in_time_is_504_that_names_it(rig: Rig) -> None:
    body = check_problem(
        await rig.ask("GET", "/api/hurry/slow"), 504, "deadline_exceeded", "orders did not answer within 0.2 s"
    )
    assert (body["service"], body["instance"]) == ("orders", "/api/hurry/slow")


async def test_a_service_that_hangs_up_is_502_or_503_that_names_it(rig: Rig) -> None:
    check_problem(await rig.ask("POST", "/open/drop", b"{}"), 503, "unavailable", "orders")


async def test_a_services_own_problem_passes_untouched(rig: Rig) -> None:
    answer = await rig.ask("GET", "/open/problem", x_correlation_id="mine-1234")
    assert (answer.status, answer.body) == (409, b'{"title": "Taken",  "code":"conflict"}')
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.correlation_id == "mine-1234"
    assert (await rig.ask("POST", "/open/status/503")).body == b'{"from": "upstream"}'


MALFORMED = {
    "no header name": (b"GET / HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n", 400, "bad_request"),
    "escaped slash": (b"GET /open/a%2fb HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", 400, "bad_request"),
    "both lengths": (
        b"POST /open HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "bad_request",
    ),
    "large headers": (b"GET / HTTP/1.1\r\nhost: a\r\nbig: " + b"x" * 40_000 + b"\r\n\r\n", 431, "headers_too_large"),
}


@pytest.mark.parametrize("kind", MALFORMED)
async def test_a_malformed_request_is_a_problem_too(rig: Rig, kind: str) -> None:
    data, status, code = MALFORMED[kind]
    head, _, content = (await rig.ask.raw(data)).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:])}
    assert int(lines[0].split(" ")[1]) == status
    assert headers["content-type"] == "application/problem+json"
    body = json.loads(content)
    assert (body["status"], body["code"]) == (status, code)
    assert body["correlation_id"] == headers["x-correlation-id"]
    assert len(body["correlation_id"]) > 10
