"""The real network: HTTP over pyreqwest (Rust, hyper)."""

from datetime import timedelta

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import BuilderError, PoolTimeoutError, RequestError, RequestTimeoutError

from hanse.client.transport import HttpRequest, HttpResponse, HttpTransport, TransportFailure
from hanse.core.errors import InvalidInput, Unavailable

_CONNECT_PHASE = "client error (Connect)"
_POOL_IDLE_S = 20.0  # below the 75 s after which our servers close an idle connection, so that the two do not race
_IDLE_PER_HOST = 64


def classify(error: RequestError) -> TransportFailure:
    """What an error of pyreqwest says about the request.

    The class of the error does not tell: a request that was sent and got no answer is a `ConnectTimeoutError`, a reset
    after sending a `ConnectError`. The chain of causes names the phase. `tests/system/client` pins it.
    """
    if isinstance(error, PoolTimeoutError):
        return TransportFailure("no free connection", sent=False, timed_out=True)
    causes = [cause["message"] for cause in error.details.get("causes") or ()]
    reason = causes[-1] if causes else error.message
    return TransportFailure(reason, sent=_CONNECT_PHASE not in causes, timed_out=isinstance(error, RequestTimeoutError))


class PyreqwestTransport(HttpTransport):
    """One pool of connections per process, shared by all clients of a service.

    The pool is built in `start`: a built one does not survive a fork. The number of connections is bounded by the
    bulkheads of the clients, not here, because waiting for a pool does not count against a request's timeout.

    Args:
        connect_timeout_s: bound on connecting, TLS included.
        user_agent: sent with each request.
    """

    def __init__(self, *, connect_timeout_s: float = 0.5, user_agent: str = "hanse") -> None:
        self._connect_timeout_s = connect_timeout_s
        self._user_agent = user_agent
        self._client: Client | None = None

    async def start(self) -> None:
        if self._client is None:
            self._client = self._build()

    async def ready(self) -> str | None:
        return None if self._client is not None else "not started"

    async def stop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def send(self, request: HttpRequest, timeout_s: float) -> HttpResponse:
        client = self._client
        if client is None:
            raise Unavailable("the HTTP transport is not started")
        # The timeout is given to pyreqwest itself: cancelling the task would not end the request.
        try:
            builder = client.request(request.method, request.url).headers(request.headers)
            builder = builder.timeout(timedelta(seconds=timeout_s))
            if request.body is not None:
                builder = builder.body_bytes(request.body)
            prepared = builder.build()
        except (ValueError, BuilderError) as error:
            raise InvalidInput(f"this request can't be sent: {error}") from error
        try:
            response = await prepared.send()
            body = await response.bytes()
        except RequestError as error:
            raise classify(error) from error
        return HttpResponse(response.status, response.headers, bytes(body))

    def _build(self) -> Client:
        return (
            ClientBuilder()
            .connect_timeout(timedelta(seconds=self._connect_timeout_s))
            .pool_idle_timeout(timedelta(seconds=_POOL_IDLE_S))
            .pool_max_idle_per_host(_IDLE_PER_HOST)
            .tcp_nodelay(True)
            .follow_redirects(False)
            .referer(False)
            .no_proxy()
            .gzip(False)
            .brotli(False)
            .zstd(False)
            .deflate(False)
            .user_agent(self._user_agent)
            .build()
        )
