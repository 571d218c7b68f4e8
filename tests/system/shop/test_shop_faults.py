"""What callers do wrong, and a service that is down: always a problem that helps, and nothing from inside."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.system.shop.shop_rig import ADDRESS, Answer, Customer, RunningShop, hanse, until

from hanse.security import SigningKey

pytestmark = pytest.mark.system

MIB = 1 << 20
PRODUCT = "prod_brw-paper-100"
ORDER = {
    "items": [{"product_id": PRODUCT, "quantity": 1}],
    "shipping_address": ADDRESS,
    "payment": {"provider": "card", "token": "tok_ok"},
}
INSIDE = re.compile(
    r"Traceback|\bFile |\.py\b|site-packages|/(tmp|home|work|usr|proc)/|\.hanse|/internal|127\.0\.0\.1:\d"
    r"|Errno|[A-Z]\w*(Error|Exception)\b|\b(SELECT|INSERT|sqlite|sqlalchemy|pydantic|starlette|envoy|nats)\b"
)


@pytest.fixture(scope="module")
def ida(shop: RunningShop) -> Customer:
    """One for all these tests: nothing of what she asks for here is to take effect."""
    return shop.customer()


Ask = Callable[[dict[str, str]], Answer]
"""Sends a bad request with further headers."""


def send(customer: Customer, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
    """A request with the body as it is given: bytes, or an iterator of them, which goes out in chunks."""
    connection, response = customer.send_raw(method, path, body, {"content-type": "application/json", **headers})
    with closing(connection):
        content = response.read().decode()
    return Answer(response.status, {n.lower(): v for n, v in response.getheaders()}, json.loads(content))


def check(answer: Answer, status: int, code: str) -> dict[str, Any]:
    """That it is a problem, complete and discreet; its document."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.body
    assert {"type", "title", "status", "detail", "instance", "code", "correlation_id"} <= problem.keys()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["correlation_id"] == answer.headers["x-correlation-id"] != ""
    told = json.dumps([problem, answer.headers])
    assert not INSIDE.search(told), INSIDE.search(told)
    return problem


def check_twice(ask: Ask, status: int, code: str) -> dict[str, Any]:
    """As `check`; the client's own correlation id is kept, and without one there is a new one."""
    own = f"mine-{uuid4().hex}"
    problem = check(ask({}), status, code)
    kept = check(ask({"x-correlation-id": own}), status, code)
    assert kept["correlation_id"] == own
    assert {**problem, "correlation_id": own} == kept
    return problem


def retold(shop: RunningShop, customer: Customer, *, key: SigningKey | None = None, **claims: Any) -> str:
    """The customer's token with other claims, signed by the shop's key or another one of the same id."""
    right = SigningKey.load(shop.folder / ".hanse" / "keys" / "issuer.jwk")
    told = jwt.decode(customer.token, options={"verify_signature": False})
    signer = key or right
    return jwt.encode({**told, **claims}, signer.private, signer.algorithm, headers={"kid": right.kid})


def without_signature(shop: RunningShop, customer: Customer) -> str:
    told = jwt.decode(customer.token, options={"verify_signature": False})
    kid = jwt.get_unverified_header(customer.token)["kid"]
    return jwt.encode({**told, "roles": ["admin"]}, None, "none", headers={"kid": kid})


BAD_TOKENS: dict[str, Callable[[RunningShop, Customer], str]] = {
    "none": lambda shop, ida: "",
    "expired": lambda shop, ida: retold(shop, ida, iat=0, nbf=0, exp=int(time.time()) - 60),
    "of a foreign key": lambda shop, ida: retold(shop, ida, key=SigningKey(Ed25519PrivateKey.generate(), "EdDSA")),
    "for another system": lambda shop, ida: retold(shop, ida, aud="bank"),
    "of the system, not of its users' issuer": lambda shop, ida: retold(shop, ida, iss="shop"),
    "alg none": without_signature,
}


@pytest.mark.parametrize("kind", BAD_TOKENS)
@pytest.mark.parametrize("path", ["/api/orders", "/api/inventory/prod_brw-paper-100/adjust"])
def test_a_bad_token_is_401(shop: RunningShop, ida: Customer, kind: str, path: str) -> None:
    """On a route where the gateway checks tokens, and on one where the service does."""
    bearer = Customer(shop.url, token=BAD_TOKENS[kind](shop, ida))
    check_twice(lambda headers: send(bearer, "POST", path, b"{}", headers), 401, "unauthenticated")


def test_a_token_made_like_the_bad_ones_but_right_is_taken(shop: RunningShop, ida: Customer) -> None:
    right = retold(shop, ida, exp=int(time.time()) + 60)
    assert Customer(shop.url, token=right).get("/api/users/me")["id"] == ida.id


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/products", b"{}"),
        ("POST", f"/api/inventory/{PRODUCT}/adjust", b'{"operation": "add", "quantity": 1}'),
        ("PUT", "/api/orders/order_1/status", b'{"status": "shipped"}'),
    ],
)
def test_a_wrong_role_is_403(ida: Customer, method: str, path: str, body: bytes) -> None:
    problem = check_twice(lambda headers: send(ida, method, path, body, headers), 403, "permission_denied")
    assert "admin" in problem["detail"]


def test_someone_elses_order_is_404_as_if_there_were_none(shop: RunningShop, ida: Customer) -> None:
    order = ida.order((PRODUCT, 1))["id"]
    stranger = shop.customer("Bo")
    problems = [
        check_twice(lambda headers, id=id: send(stranger, "GET", f"/api/orders/{id}", None, headers), 404, "not_found")
        for id in (order, "order_1")
    ]
    real, none = (json.dumps({**each, "correlation_id": ""}) for each in problems)
    assert real.replace(order, "order_1") == none


@pytest.mark.parametrize("path", ["/api", "/api/nothing", "/api/auth/nothing", "/api/products/../nothing"])
def test_an_unknown_route_is_404(ida: Customer, path: str) -> None:
    check_twice(lambda headers: send(ida, "GET", path, None, headers), 404, "not_found")


@pytest.mark.parametrize("path", ["/internal/quotes", "/api/internal/quotes", "/api/products/../internal/quotes"])
def test_what_is_for_services_only_is_no_route(ida: Customer, path: str) -> None:
    answer = send(ida, "GET", path, None, {})
    assert (answer.status, answer.body["code"]) == (404, "not_found")


MALFORMED = {
    "no JSON": b"{not json",
    "half of it": b'{"items": [',
    "no text": b"\xff\xfe\x00",
    "nothing": b"",
    "too deep": b"[" * 100_000,
    "no number": b'{"items": NaN}',
    "half a character": b'{"items": "\\ud800"}',
    "a list": b"[1, 2]",
    "wrong types": b'{"items": "many", "shipping_address": 7, "payment": []}',
    "a wrong type inside": json.dumps({**ORDER, "items": [{"product_id": 7, "quantity": "x"}]}).encode(),
    "an endless number": json.dumps({**ORDER, "items": [{"product_id": PRODUCT, "quantity": 10**400}]}).encode(),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_what_can_not_be_understood_is_422(ida: Customer, kind: str) -> None:
    content, before = MALFORMED[kind], ida.get("/api/orders")["pagination"]["total"]
    problem = check_twice(lambda h: send(ida, "POST", "/api/orders", content, h), 422, "invalid_input")
    assert problem["errors"][0]["in"] == "body"
    assert ida.get("/api/orders")["pagination"]["total"] == before


def chunks(total: int) -> Iterator[bytes]:
    return iter([b" " * 4096] * (total // 4096))


@pytest.mark.parametrize("body", [lambda: b" " * (MIB + 1), lambda: chunks(MIB + 4096)], ids=["length", "chunked"])
@pytest.mark.parametrize("path", ["/api/orders", "/api/auth/register"])
def test_a_body_over_one_mib_is_413(ida: Customer, body: Callable[[], Any], path: str) -> None:
    problem = check_twice(lambda headers: send(ida, "POST", path, body(), headers), 413, "payload_too_large")
    assert str(MIB) in problem["detail"]


@pytest.mark.parametrize("body", [lambda: b" " * MIB, lambda: chunks(MIB)], ids=["length", "chunked"])
def test_a_body_of_one_mib_is_read(ida: Customer, body: Callable[[], Any]) -> None:
    check(send(ida, "POST", "/api/orders", body(), {}), 422, "invalid_input")


def test_a_limit_exceeded_is_429_with_retry_after(ida: Customer) -> None:
    guess = json.dumps({"current_password": "a guess", "new_password": "another password"}).encode()

    refused: list[Answer] = []

    def ask_too_often(headers: dict[str, str]) -> Answer:
        while (answer := send(ida, "POST", "/api/users/me/password", guess, headers)).status != 429:
            check(answer, 401, "wrong_credentials")
        refused.append(answer)
        return answer

    problem = check_twice(ask_too_often, 429, "limit_exceeded")
    for answer in refused:
        assert 0 < int(answer.headers["retry-after"]) <= 60
        assert answer.headers["retry-after"] in problem["detail"]


def test_a_service_that_is_down_is_503_that_names_it(shop: RunningShop, ida: Customer) -> None:
    """Whether customers ask it themselves or another service asks it for them; afterwards all is as before."""
    scale(shop, "catalog=0")
    try:
        problem = check_twice(lambda h: send(ida, "GET", "/api/products", None, h), 503, "unavailable")
        assert (problem["service"], problem["instance"]) == ("catalog", "/api/products")
        order = json.dumps(ORDER).encode()
        problem = check_twice(lambda h: send(ida, "POST", "/api/orders", order, h), 503, "unavailable")
        assert problem["upstream"] == {"service": "catalog"}
        assert "catalog" in problem["detail"]
        assert ida.get("/api/cart")["items"] == [], "what needs no catalogue goes on"
    finally:
        scale(shop, "catalog=1")
    until(lambda: ida.call("GET", "/api/products").status == 200, "the gateway finds the catalogue again")
    until(lambda: ida.call("PUT", f"/api/cart/items/{PRODUCT}", {"quantity": 1}).status == 200, "cart finds it, too")
    until(lambda: ida.call("POST", "/api/orders", ORDER).status == 201, "and so does orders")


def scale(shop: RunningShop, count: str) -> None:
    done = hanse("scale", count, "--system", str(shop.folder))
    assert done.returncode == 0, done.stdout + done.stderr
