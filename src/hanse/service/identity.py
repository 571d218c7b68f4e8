"""Identity: who is calling, and the proof of who we are."""

from starlette.requests import HTTPConnection

from hanse.core import Principal, current
from hanse.core.errors import PermissionDenied, Unauthenticated
from hanse.security import TokenVerifier

_SERVICE_ROLE = "service"
_SERVICE_PREFIX = "service:"


class Identity:
    """Checks the tokens of users and of services, and holds this service's own.

    The two kinds are told apart by their issuer, so that neither passes for the other.

    Args:
        verifier: None where no keys are configured; then nobody can prove who they are.
        user_issuer: the `iss` of users' tokens.
        service_issuer: the `iss` of services' tokens (the system's name).
        own_token: sent to other services.
    """

    def __init__(
        self, verifier: TokenVerifier | None, user_issuer: str | None, service_issuer: str, own_token: str | None
    ) -> None:
        self._verifier = verifier
        self._user_issuer = user_issuer
        self._service_issuer = service_issuer
        self._own_token = own_token

    def own_token(self) -> str | None:
        """The token that proves which service we are."""
        return self._own_token

    def user(self, connection: HTTPConnection) -> Principal:
        """The user on whose behalf the request comes; checked once per request.

        The token is taken from `Authorization: Bearer`; for WebSockets and event streams, where a browser can't set
        headers, also from the query parameter `access_token` (RFC 6750, section 2.3).

        Raises:
            Unauthenticated: no token, or not a valid one of a user.
        """
        context = current()
        if context.principal is None:
            principal = self._verify(self.offered(connection) or "")
            if principal.claims.get("iss") != self._user_issuer:
                raise Unauthenticated("this token was not made for a user")
            context.principal = principal
        return context.principal

    def offered(self, connection: HTTPConnection) -> str | None:
        """The user's token as it came, "" where the header holds none; None when the request does not try."""
        header = connection.headers.get("authorization")
        return _bearer(header) if header is not None else _from_query(connection)

    def caller(self, connection: HTTPConnection) -> Principal:
        """The service that sent the request; its `subject` is its name.

        Raises:
            Unauthenticated: no token in `X-Service-Authorization`, or not a valid one.
            PermissionDenied: a valid token, but not one of a service.
        """
        context = current()
        if context.caller is None:
            principal = self._verify(_bearer(connection.headers.get("x-service-authorization") or ""))
            named = principal.subject.startswith(_SERVICE_PREFIX) and _SERVICE_ROLE in principal.roles
            if not named or principal.claims.get("iss") != self._service_issuer:
                raise PermissionDenied("this path is for services of the system only")
            name = principal.subject.removeprefix(_SERVICE_PREFIX)
            context.caller = Principal(name, principal.roles, principal.scopes, principal.claims, principal.token)
        return context.caller

    def _verify(self, token: str) -> Principal:
        if not token:
            raise Unauthenticated("this path needs a token: Authorization: Bearer …")
        if self._verifier is None:
            raise Unauthenticated("this service has no keys to check tokens with (HANSE_JWKS_FILE)")
        return self._verifier.verify(token)


def _bearer(header: str) -> str:
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _from_query(connection: HTTPConnection) -> str | None:
    streams = connection.scope["type"] == "websocket" or "text/event-stream" in connection.headers.get("accept", "")
    return connection.query_params.get("access_token") if streams else None
