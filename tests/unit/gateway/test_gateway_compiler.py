"""The compiler is a pure function, and what must never change while a system runs does not."""

import json
from dataclasses import replace
from typing import Any

import pytest

from hanse.core.errors import ConfigurationError
from hanse.gateway import Cluster, Endpoint, GatewayModel, JwtProvider, Route, Tracing, compile, static_bootstrap
from hanse.gateway.compiler import FILES
from hanse.gateway.routes import entries

JWKS = {
    "keys": [
        {"kty": "OKP", "crv": "Ed25519", "kid": "k", "alg": "EdDSA", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    ]
}
MODEL = GatewayModel(
    (
        Route("/", "web"),
        Route("/api/orders", "orders", strip="/api", auth=True, limit="5/minute per user"),
        Route("/api/orders", "orders", strip="/api", methods=("DELETE",), roles=("admin",)),
        Route("/api/orders/{id}/events", "orders", strip="/api", auth=True, stream=True),
        Route("=/api/status", "status", methods=("GET",), max_body_bytes=10),
    ),
    (JwtProvider("users", "shop/users", "shop", JWKS),),
    {"orders": Cluster((Endpoint("127.0.0.1", 2), Endpoint("127.0.0.1", 1)))},
)


def table(model: GatewayModel) -> list[dict[str, Any]]:
    return [resource for _, resource in entries(model)]


def named(model: GatewayModel, name: str) -> dict[str, Any]:
    [route] = [route for route in table(model) if route["name"] == name]
    return route


def cluster(model: GatewayModel, name: str) -> dict[str, Any]:
    [found] = [c for c in compile(model)["clusters.json"].resources if c["name"] == name]
    return found


def test_files_come_in_the_order_in_which_they_are_published() -> None:
    assert tuple(compile(MODEL)) == FILES


def test_the_same_model_gives_the_same_files() -> None:
    again = replace(MODEL, clusters={"orders": Cluster((Endpoint("127.0.0.1", 1), Endpoint("127.0.0.1", 2)))})
    assert compile(MODEL) == compile(again)


def test_everything_is_json() -> None:
    json.dumps([file.typed() for file in compile(MODEL).values()])
    json.dumps(static_bootstrap(MODEL))


def test_a_wrong_model_is_not_compiled() -> None:
    with pytest.raises(ConfigurationError, match="port 0"):
        compile(replace(MODEL, port=0))


@pytest.mark.parametrize(
    "change",
    [
        {"routes": (Route("/other", "other", limit="1/s"),)},
        {"clusters": {}},
        {"providers": (JwtProvider("users", "shop/users", "other", JWKS),)},
        {"origins": ("https://app.example",)},
        {"api_keys": {"client": "0123456789abcdef"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_listener_never_changes_while_a_system_runs(change: dict[str, Any]) -> None:
    assert compile(replace(MODEL, **change))["listeners.json"] == compile(MODEL)["listeners.json"]


def test_new_endpoints_change_the_clusters_only() -> None:
    before, after = compile(MODEL), compile(replace(MODEL, clusters={}))
    assert [name for name in FILES if before[name] != after[name]] == ["clusters.json"]


def test_a_change_of_routes_leaves_the_limits_buckets_alone() -> None:
    after = compile(replace(MODEL, routes=(*MODEL.routes, Route("/more", "more"))))
    assert after["limit.json"] == compile(MODEL)["limit.json"]


def test_the_most_specific_route_comes_first_whatever_the_order() -> None:
    names = [route["name"] for route in table(MODEL) if "route" in route]
    expected = ["/api/orders/{id}/events", "GET =/api/status", "DELETE /api/orders", "/api/orders", "/"]
    assert names == expected
    assert [r["name"] for r in table(replace(MODEL, routes=MODEL.routes[::-1])) if "route" in r] == expected


def test_other_methods_of_a_path_get_405_with_what_is_allowed() -> None:
    refusal = named(MODEL, "405 =/api/status")
    assert refusal["direct_response"] == {"status": 405}
    assert refusal["response_headers_to_add"][0]["header"] == {"key": "allow", "value": "GET"}
    assert not [route for route in table(MODEL) if route["name"] == "405 /api/orders"]


def test_methods_of_one_path_stay_together_whatever_is_written_between() -> None:
    model = GatewayModel(
        (
            Route("/a", "x", methods=("GET",)),
            Route("/b", "x", methods=("GET",)),
            Route("/a", "x", methods=("POST",)),
            Route("/b", "x"),
        )
    )
    assert [r["name"] for r in table(model)] == ["GET /a", "POST /a", "405 /a", "GET /b", "/b"]


def test_a_leaf_of_the_tree_holds_every_route_that_can_match_and_no_other() -> None:
    model = GatewayModel(tuple(Route(path, "x") for path in ("/", "/api", "/api/a", "/api/a/{id}/b", "=/api/ab", "/z")))
    tree = compile(model)["routes.json"].resources[0]["virtual_hosts"][0]["matcher"]["matcher_tree"]
    leaves = {
        prefix: [route["name"] for route in leaf["action"]["typed_config"]["routes"] if "route" in route]
        for prefix, leaf in tree["prefix_match_map"]["map"].items()
    }
    assert leaves == {
        "/": ["/"],
        "/api": ["/api", "/"],
        "/api/a": ["/api/a", "/api", "/"],
        "/api/a/": ["/api/a/{id}/b", "/api/a", "/api", "/"],
        "/api/ab": ["=/api/ab", "/api/a", "/api", "/"],
        "/internal": ["/"],
        "/z": ["/z", "/"],
    }


def test_paths_below_internal_are_closed() -> None:
    model = GatewayModel((Route("/api/stock", "stock", strip="/api/stock"), Route("/shop", "shop")))
    closed = [r["match"]["path_separated_prefix"] for r in table(model) if r.get("direct_response") == {"status": 404}]
    assert closed == ["/api/stock/internal"]


@pytest.mark.parametrize(
    ("path", "match"),
    [
        ("/", {"prefix": "/"}),
        ("/api/", {"path_separated_prefix": "/api"}),
        ("=/api/", {"path": "/api/"}),
        ("/a.b/{id}/c", {"safe_regex": {"regex": r"/a\.b/[^/]+/c"}}),
    ],
)
def test_each_kind_of_path_is_matched_its_way(path: str, match: dict[str, Any]) -> None:
    assert named(GatewayModel((Route(path, "x"),)), path)["match"] == match


def test_a_stream_has_no_timeout_and_may_upgrade() -> None:
    stream = named(MODEL, "/api/orders/{id}/events")["route"]
    assert (stream["timeout"], stream["idle_timeout"]) == ("0s", "0s")
    assert stream["upgrade_configs"] == [{"upgrade_type": "websocket", "enabled": True}]
    plain = named(MODEL, "/api/orders")["route"]
    assert plain["timeout"] == "15s"
    assert plain["upgrade_configs"] == [{"upgrade_type": "websocket", "enabled": False}]


def test_only_idempotent_methods_are_retried() -> None:
    policy = named(MODEL, "/api/orders")["route"]["retry_policy"]
    [condition] = policy["retriable_request_headers"]
    assert set(condition["string_match"]["safe_regex"]["regex"].split("|")) == {
        "GET",
        "HEAD",
        "OPTIONS",
        "PUT",
        "DELETE",
    }
    assert "retry_policy" not in named(GatewayModel((Route("/x", "x", retries=0),)), "/x")["route"]


def test_a_service_without_instances_has_an_empty_cluster() -> None:
    assert cluster(MODEL, "web")["load_assignment"]["endpoints"] == []


@pytest.mark.parametrize(("host", "kind"), [("10.0.0.1", "STATIC"), ("::1", "STATIC"), ("orders.local", "STRICT_DNS")])
def test_names_are_resolved_and_addresses_are_not(host: str, kind: str) -> None:
    model = GatewayModel((Route("/x", "x"),), clusters={"x": Cluster((Endpoint(host, 80),))})
    assert cluster(model, "x")["type"] == kind


def test_spans_have_a_cluster_of_their_own() -> None:
    model = replace(MODEL, tracing=Tracing("http://127.0.0.1:4318", 0.01))
    assert cluster(model, "hanse-telemetry")
    assert compile(model)["listeners.json"] != compile(MODEL)["listeners.json"]


def test_the_static_equivalent_has_no_dynamic_part() -> None:
    text = json.dumps(static_bootstrap(MODEL))
    assert "path_config_source" not in text
    assert "config_discovery" not in text
    assert text.count("JwtAuthentication") == 2


def test_the_access_log_shows_no_query() -> None:
    text = json.dumps(compile(replace(MODEL, access_log="/dev/stdout"))["listeners.json"].resources)
    assert "REQ(:PATH)" not in text
