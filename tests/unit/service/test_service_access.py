"""Who may call what: users by token, role and scope; services by their own token; never one in place of the other."""

from typing import Any

import pytest

from hanse import Caller, Service, User
from hanse.core import current
from hanse.core.errors import ConfigurationError
from hanse.service import MaybeUser

service = Service("access")


@service.get("/me")
async def me(user: User) -> dict[str, Any]:
    principal = current().principal
    assert principal is user
    return {"id": user.subject, "roles": sorted(user.roles), "has_token": bool(user.token)}


@service.get("/maybe")
async def maybe(user: MaybeUser) -> str:
    return user.subject if user is not None else "anonymous"


@service.get("/signed-in", auth=True)
async def signed_in() -> str:
    return "hello"


@service.get("/admin", role="admin")
async def admin() -> str:
    return "hello"


@service.post("/orders", scope="orders:write")
async def order() -> str:
    return "hello"


@service.get("/internal/stock", internal=True)
async def stock(caller: Caller) -> str:
    return caller.subject


@service.get("/caller")
async def caller(caller: Caller) -> str:
    return caller.subject


async def test_a_user_is_known_by_the_token(run: Any, tokens: Any) -> None:
    async with run(service) as call:
        answer = await call("GET", "/me", headers=tokens.user("ada", roles=["customer"]))
        assert answer.json() == {"id": "ada", "roles": ["customer"], "has_token": True}
        assert (await call("GET", "/signed-in", headers=tokens.user())).status == 200


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Bearer a.b.c", "bearer x"])
@pytest.mark.parametrize("path", ["/me", "/signed-in", "/admin"])
async def test_without_a_valid_token_it_is_a_401(run: Any, path: str, header: str | None) -> None:
    async with run(service) as call:
        answer = await call("GET", path, headers={} if header is None else {"authorization": header})
        assert (answer.status, answer.json()["code"]) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_public_path_knows_who_is_signed_in(run: Any, tokens: Any) -> None:
    async with run(service) as call:
        assert (await call("GET", "/maybe")).json() == "anonymous"
        assert (await call("GET", "/maybe", headers=tokens.user("ada"))).json() == "ada"
        assert (await call("GET", "/maybe", headers={"authorization": "Bearer x"})).status == 401
        assert (await call("GET", "/maybe", headers={"authorization": ""})).status == 401
        assert (await call("GET", "/maybe?access_token=x")).json() == "anonymous"


async def test_role_and_scope_are_asked_for(run: Any, tokens: Any) -> None:
    async with run(service) as call:
        assert (await call("GET", "/admin", headers=tokens.user(roles=["customer"]))).status == 403
        assert (await call("GET", "/admin", headers=tokens.user(roles=["admin"]))).status == 200
        denied = await call("POST", "/orders", headers=tokens.user(scopes=["orders:read"]))
        assert (denied.status, denied.json()["details"]) == (403, {"scope": "orders:write"})
        assert (await call("POST", "/orders", headers=tokens.user(scopes=["orders:write"]))).status == 200


async def test_internal_paths_are_for_services(run: Any, tokens: Any) -> None:
    async with run(service) as call:
        for path in ("/internal/stock", "/caller"):
            assert (await call("GET", path)).status == 401
            assert (await call("GET", path, headers=tokens.user(roles=["admin"]))).status == 401
            assert (await call("GET", path, headers=tokens.service("cart"))).json() == "cart"


async def test_a_users_token_is_no_services_token_and_the_reverse(run: Any, tokens: Any) -> None:
    async with run(service) as call:
        user = tokens.user("service:cart", roles=["service"])["authorization"]
        assert (await call("GET", "/internal/stock", headers={"x-service-authorization": user})).status == 403
        service_token = tokens.service("cart")["x-service-authorization"]
        assert (await call("GET", "/me", headers={"authorization": service_token})).status == 401


async def test_a_browser_may_send_its_token_in_the_query_of_a_stream_only(run: Any, tokens: Any) -> None:
    async with run(service) as call:
        token = tokens.user("ada")["authorization"].removeprefix("Bearer ")
        stream = await call("GET", f"/me?access_token={token}", headers={"accept": "text/event-stream"})
        assert stream.json()["id"] == "ada"
        assert (await call("GET", f"/me?access_token={token}")).status == 401


async def test_without_keys_nobody_can_prove_anything(run: Any, tokens: Any) -> None:
    async with run(service, jwks_file=None) as call:
        answer = await call("GET", "/me", headers=tokens.user())
        assert (answer.status, "HANSE_JWKS_FILE" in answer.json()["detail"]) == (401, True)


def test_an_empty_role_is_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match="can't be empty"):
        Service("x").get("/", role="")
