"""Tokens, roles and API keys: who is calling, checked before anything is forwarded."""

import json

from hanse.gateway.model import GatewayModel, JwtProvider
from hanse.gateway.resource import Resource, typed
from hanse.gateway.route import Route

JWT_FILTER = "envoy.filters.http.jwt_authn"
RBAC_FILTER = "envoy.filters.http.rbac"
API_KEY_FILTER = "envoy.filters.http.api_key_auth"
CLIENT_HEADER = "x-client-id"
"""Tells a service which API key's owner is calling."""
CLAIM_HEADERS = {"sub": "x-user-id"}
"""Claims of a checked token that are told in headers: to services, to the limits and to the access log."""

JWT_TYPE = "extensions.filters.http.jwt_authn.v3.JwtAuthentication"
_CLAIMS = "claims"
_IDENTITY = "identity"
_IDENTITY_AND_ROLES = "identity and roles"
"""Claims are copied for later filters only where a route asks for roles: the copy costs as much as the check."""
_CLOCK_SKEW_S = 30
_CACHED_IDENTITYS = 4096


def jwt(model: GatewayModel) -> Resource:
    """The configuration of the token check, delivered apart from the listener because its keys rotate.

    A token may also come as the query parameter `access_token` (RFC 6750, 2.3): browsers can set no header on
    WebSockets and event streams. Access logs and problem bodies therefore never show a query.
    """
    kinds = {_IDENTITY: {}, _IDENTITY_AND_ROLES: {"payload_in_metadata": _CLAIMS}}
    providers: Resource = {}
    requirements: Resource = {}
    for kind, extra in kinds.items():
        members = {f"{provider.name} {kind}": _provider(provider) | extra for provider in model.providers}
        providers |= members
        if members:
            requirements[kind] = _one_of(list(members))
    return typed(JWT_TYPE, providers=providers, requirement_map=requirements)


def _one_of(providers: list[str]) -> Resource:
    names = [{"provider_name": name} for name in providers]
    return names[0] if len(names) == 1 else {"requires_any": {"requirements": names}}


def _provider(provider: JwtProvider) -> Resource:
    return {
        "issuer": provider.issuer,
        "audiences": [provider.audience],
        # A token without a subject would pass by every limit per user, one without an end would never become invalid.
        "subjects": {"safe_regex": {"regex": ".+"}},
        "require_expiration": True,
        "local_jwks": {"inline_string": json.dumps({"keys": provider.keys()}, sort_keys=True)},
        "forward": True,
        "clock_skew_seconds": _CLOCK_SKEW_S,
        "jwt_cache_config": {"jwt_cache_size": _CACHED_IDENTITYS},
        "claim_to_headers": [{"claim_name": c, "header_name": h} for c, h in CLAIM_HEADERS.items()],
    }


def token_required(*, claims: bool) -> Resource:
    kind = _IDENTITY_AND_ROLES if claims else _IDENTITY
    return typed("extensions.filters.http.jwt_authn.v3.PerRouteConfig", requirement_name=kind)


def one_of_roles(roles: tuple[str, ...]) -> Resource:
    """Only tokens whose list `roles` holds one of `roles`."""
    principals = [
        {
            "sourced_metadata": {
                "metadata_matcher": {
                    "filter": JWT_FILTER,
                    "path": [{"key": _CLAIMS}, {"key": "roles"}],
                    "value": {"list_match": {"one_of": {"string_match": {"exact": role}}}},
                }
            }
        }
        for role in sorted(set(roles))
    ]
    policies = {"roles": {"permissions": [{"any": True}], "principals": principals}}
    return typed(
        "extensions.filters.http.rbac.v3.RBACPerRoute", rbac={"rules": {"action": "ALLOW", "policies": policies}}
    )


def api_key_required(model: GatewayModel) -> Resource:
    """A known key in `X-API-Key`; the service sees the client's name and never the key."""
    return typed(
        "extensions.filters.http.api_key_auth.v3.ApiKeyAuthPerRoute",
        credentials=[{"key": key, "client": client} for client, key in sorted(model.api_keys.items())],
        key_sources=[{"header": "X-API-Key"}],
        forwarding={"header": CLIENT_HEADER, "hide_credentials": True},
    )


def credentials(route: Route, model: GatewayModel) -> Resource:
    """What a route asks of its callers, by filter."""
    asked: Resource = {}
    if route.needs_token:
        asked[JWT_FILTER] = token_required(claims=bool(route.roles))
    if route.roles:
        asked[RBAC_FILTER] = one_of_roles(route.roles)
    if route.api_key:
        asked[API_KEY_FILTER] = api_key_required(model)
    return asked
