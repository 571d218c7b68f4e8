"""The model says in one line each what is wrong with it."""

from dataclasses import replace
from pathlib import Path

import pytest

from hanse.core.errors import ConfigurationError
from hanse.gateway import Cluster, Endpoint, GatewayModel, JwtProvider, RateLimit, Route, Tracing

JWKS = {
    "keys": [
        {"kty": "OKP", "crv": "Ed25519", "kid": "k", "alg": "EdDSA", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    ]
}
PROVIDER = JwtProvider("users", "shop/users", "shop", JWKS)


@pytest.mark.parametrize(
    ("text", "requests", "window_s", "per"),
    [
        ("100/minute per user", 100, 60, "user"),
        ("10/second", 10, 1, "ip"),
        ("1000/15m per ip", 1000, 900, "ip"),
        ("5000 / day per key", 5000, 86400, "key"),
        ("7/h", 7, 3600, "ip"),
    ],
)
def test_a_limit_is_read_as_written(text: str, requests: int, window_s: int, per: str) -> None:
    limit = RateLimit.parse(text)
    assert (limit.requests, limit.window_s, limit.per) == (requests, window_s, per)


@pytest.mark.parametrize(
    "text", ["", "100", "100/fortnight", "0/minute", "9999999/second", "2/2day", "5/minute per planet"]
)
def test_a_limit_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="limit"):
        RateLimit.parse(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("100/minute", 1), ("5/minute", 12), ("1/hour", 3600), ("1000/second", 1)]
)
def test_retry_after_is_the_time_until_the_next_token(text: str, seconds: int) -> None:
    assert RateLimit.parse(text).retry_after_s == seconds


@pytest.mark.parametrize(
    ("route", "says"),
    [
        (Route("orders", "orders"), 'a path starts with "/"'),
        (Route("/a?b", "orders"), 'a path starts with "/"'),
        (Route("/a//b", "orders"), 'a path starts with "/"'),
        (Route("/a/x{id}", "orders"), "a parameter is one whole segment"),
        (Route("/a/{id", "orders"), "a parameter is one whole segment"),
        (Route("=/a/{id}", "orders"), "is exact already"),
        (Route("/a", "or ders"), "is no name of a service"),
        (Route("/a", "orders", methods=("FETCH",)), "method 'FETCH' is unknown"),
        (Route("/api/a", "orders", strip="/ap"), "strip '/ap' is not the beginning"),
        (Route("/api/internal/x", "orders", strip="/api"), "leads to /internal"),
        (Route("/internal", "orders"), "leads to /internal"),
        (Route("/a", "orders", timeout=0), "timeout 0"),
        (Route("/a", "orders", retries=11), "retries 11"),
        (Route("/a", "orders", max_body_bytes=0), "max_body_bytes 0"),
        (Route("/a", "orders", limit="lots"), 'limit "lots"'),
        (Route("/a", "orders", limit="1/s per user"), "needs auth=True"),
        (Route("/a", "orders", limit="1/s per key"), "needs api_key=True"),
    ],
)
def test_a_wrong_route_is_told_in_one_line(route: Route, says: str) -> None:
    [line] = GatewayModel((route,), (PROVIDER,), api_keys={"c": "0123456789abcdef"}).problems()
    assert says in line
    assert route.path in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (GatewayModel((Route("/a", "x"), Route("/a/", "y"))), "every method goes to 'x' already"),
        (
            GatewayModel((Route("/a/{b}", "x", methods=("GET",)), Route("/a/{c}", "y", methods=("GET",)))),
            "GET goes to 'x'",
        ),
        (GatewayModel((Route("/a", "x", name="n"), Route("/b", "x", name="n"))), "the name 'n' is taken"),
        (GatewayModel((Route("/a", "x", auth=True),)), "no provider of tokens"),
        (GatewayModel((Route("/a", "x", roles=("admin",)),)), "no provider of tokens"),
        (GatewayModel((Route("/a", "x", api_key=True),)), "needs an API key"),
        (GatewayModel(api_keys={"c": "short"}), "at least 16 characters"),
        (GatewayModel(api_keys={"c": "0123456789abcdef", "d": "0123456789abcdef"}), "same API key"),
        (GatewayModel(providers=(PROVIDER, replace(PROVIDER, name="other"))), "two providers have the issuer"),
        (GatewayModel(providers=(PROVIDER, replace(PROVIDER, issuer="other"))), "two providers have the name"),
        (GatewayModel(providers=(replace(PROVIDER, jwks={"keys": []}),)), "has no keys"),
        (GatewayModel(providers=(replace(PROVIDER, jwks="nonsense"),)), "is not a JSON object"),
        (GatewayModel(providers=(replace(PROVIDER, jwks={"keys": [{"kty": "oct", "k": "AA"}]}),)), "only public keys"),
        (
            GatewayModel(providers=(replace(PROVIDER, jwks={"keys": [{"kty": "OKP", "x": "AA", "d": "AA"}]}),)),
            "only public keys",
        ),
        (GatewayModel(providers=(replace(PROVIDER, jwks=Path("k.json")),)), "is not loaded"),
        (GatewayModel(port=0), "port 0"),
        (GatewayModel(origins=("app.example",)), "origin 'app.example'"),
        (GatewayModel(origins=("https://app.example/x",)), "origin 'https://app.example/x'"),
        (GatewayModel(clusters={"x": Cluster((Endpoint("a b", 1),))}), "a b:1 is no address"),
        (GatewayModel(clusters={"x": Cluster((Endpoint("h", 1, weight=0),))}), "weight 0"),
        (GatewayModel(clusters={"x": Cluster(connect_timeout=-1)}), "connect_timeout -1"),
        (GatewayModel(clusters={"x": Cluster(max_requests=0)}), "max_requests 0"),
        (GatewayModel(tracing=Tracing("https://h:1")), "tracing endpoint"),
        (GatewayModel(tracing=Tracing("http://h:1", 2.0)), "tracing sample"),
    ],
)
def test_a_wrong_gateway_is_told_in_one_line(model: GatewayModel, says: str) -> None:
    [line] = model.problems()
    assert says in line
    assert "\n" not in line


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        GatewayModel((Route("a", "x"), Route("/b", "x", timeout=-1)), port=0).check()
    assert len(caught.value.message.splitlines()) == 3


def test_a_right_gateway_has_no_problems() -> None:
    routes = (
        Route("/", "web"),
        Route("=/", "home"),
        Route("/api/orders", "orders", strip="/api", auth=True, limit="100/minute per user"),
        Route("/api/orders", "orders", methods=("DELETE",), strip="/api", roles=("admin",)),
        Route("/api/orders/{id}/events", "orders", strip="/api", stream=True, auth=True),
    )
    assert GatewayModel(routes, (PROVIDER,), origins=("*", "http://localhost:5173")).problems() == []
