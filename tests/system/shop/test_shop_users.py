"""Accounts, sessions and tokens, through the gateway."""

import base64
import json

import pytest
from tests.system.shop.shop_rig import Customer, RunningShop

pytestmark = pytest.mark.system


def test_an_account_is_made_once(shop: RunningShop, ida: Customer) -> None:
    again = {"email": ida.email.upper(), "password": "another password", "name": "Ida"}
    answer = Customer(shop.url).call("POST", "/api/auth/register", again)
    assert (answer.status, answer.body["code"]) == (409, "email_taken")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.body["correlation_id"] == answer.headers["x-correlation-id"]


@pytest.mark.parametrize(
    "body",
    [
        {"email": "no address", "password": "long enough", "name": "Ida"},
        {"email": "ida@example.org", "password": "tiny pw", "name": "Ida"},
        {"email": "ida@example.org", "password": "long enough"},
    ],
)
def test_a_bad_registration_is_refused_without_repeating_the_password(shop: RunningShop, body: dict[str, str]) -> None:
    answer = Customer(shop.url).call("POST", "/api/auth/register", body)
    assert answer.status == 422
    assert body["password"] not in json.dumps(answer.body)


def test_only_the_right_password_signs_in(shop: RunningShop, ida: Customer) -> None:
    for email, password in ((ida.email, "wrong password"), ("nobody@example.org", ida.password)):
        answer = Customer(shop.url).call("POST", "/api/auth/login", {"email": email, "password": password})
        assert (answer.status, answer.body["code"]) == (401, "wrong_credentials")
    assert ida.tokens["token_type"] == "Bearer"
    assert ida.tokens["expires_in"] == 900


def test_a_profile_is_read_and_changed(ida: Customer) -> None:
    assert ida.get("/api/users/me")["name"] == "Ida"
    change = {"bio": "Reads maps.", "location": "Lübeck", "preferences": {"theme": "dark"}}
    changed = ida.call("PATCH", "/api/users/me", change)
    assert changed.status == 200
    assert {key: ida.get("/api/users/me")[key] for key in change} == change
    assert ida.get("/api/users/me")["name"] == "Ida"
    assert "password" not in json.dumps(changed.body)


def test_nobody_gets_in_without_a_token_or_with_a_false_one(shop: RunningShop, ida: Customer) -> None:
    head, claims, signature = ida.token.split(".")
    forged = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    forged["roles"] = ["admin"]
    false = base64.urlsafe_b64encode(json.dumps(forged).encode()).decode().rstrip("=")
    for token in ("", "nonsense", f"{head}.{false}.{signature}"):
        answer = Customer(shop.url, token=token).call("GET", "/api/users/me")
        assert answer.status == 401
        assert answer.headers["content-type"] == "application/problem+json"


def test_the_published_keys_are_public_and_those_of_the_tokens(shop: RunningShop, ida: Customer) -> None:
    keys = Customer(shop.url).get("/.well-known/jwks.json")["keys"]
    head = json.loads(base64.urlsafe_b64decode(ida.token.split(".")[0] + "=="))
    assert head["kid"] in [key["kid"] for key in keys]
    assert all("d" not in key for key in keys)


def test_a_refresh_token_works_once_and_its_copy_ends_the_session(shop: RunningShop, ida: Customer) -> None:
    anonymous = Customer(shop.url)
    first = {"refresh_token": ida.tokens["refresh_token"]}
    rotated = anonymous.call("POST", "/api/auth/refresh", first)
    assert rotated.status == 200
    assert Customer(shop.url, token=rotated.body["access_token"]).get("/api/users/me")["email"] == ida.email
    second = {"refresh_token": rotated.body["refresh_token"]}
    assert second != first
    stolen = anonymous.call("POST", "/api/auth/refresh", first)
    assert (stolen.status, stolen.body["code"]) == (401, "session_ended")
    assert anonymous.call("POST", "/api/auth/refresh", second).status == 401
    shop.signed_in(ida)
    assert anonymous.call("POST", "/api/auth/refresh", {"refresh_token": ida.tokens["refresh_token"]}).status == 200


def test_signing_out_ends_the_session(shop: RunningShop, ida: Customer) -> None:
    token = {"refresh_token": ida.tokens["refresh_token"]}
    assert ida.call("POST", "/api/auth/logout", token).status == 204
    assert ida.call("POST", "/api/auth/refresh", token).status == 401
    assert ida.call("POST", "/api/auth/logout", {"refresh_token": "unknown"}).status == 204


def test_a_password_is_changed_and_ends_all_sessions(shop: RunningShop, ida: Customer) -> None:
    change = {"current_password": ida.password, "new_password": "a better password"}
    assert ida.call("POST", "/api/users/me/password", change).status == 204
    assert ida.call("POST", "/api/auth/refresh", {"refresh_token": ida.tokens["refresh_token"]}).status == 401
    ida.password = "a better password"
    shop.signed_in(ida)


def test_who_tries_out_passwords_is_slowed_down(ida: Customer) -> None:
    guess = {"current_password": "a guess", "new_password": "another password"}
    answers = [ida.call("POST", "/api/users/me/password", guess) for _ in range(12)]
    assert answers[0].status == 401
    limited = [answer for answer in answers if answer.status == 429]
    assert limited
    assert int(limited[0].headers["retry-after"]) > 0
    assert limited[0].headers["content-type"] == "application/problem+json"
    assert ida.call("GET", "/api/users/me").status == 200
