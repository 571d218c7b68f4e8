"""The connection: dialled once, kept for ever, and honest about what a loss of it means."""

import asyncio
import re
from collections.abc import Callable
from math import ceil
from typing import Any
from urllib.parse import urlsplit

from nats import errors

from hanse.broker.client import RawClient, Sink
from hanse.core import Component, Env
from hanse.core.errors import HanseError, OutcomeUnknown, PermissionDenied, Unauthenticated, Unavailable

RECONNECT_WAIT_S = 0.2
PING_INTERVAL_S = 2
REQUEST_TIMEOUT_S = 5.0

_VIOLATION = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"')
_UNAUTHORIZED = ("authorization violation", "authentication")


class Link(Component):
    """One connection to a NATS server or cluster.

    Args:
        env: the node's seams.
        url: `nats://[user:password@]host:port[,nats://…]`, `tls://…` alike.
        name: of this client, for the server's monitoring.
        connect_timeout_s: how long `start` tries before it gives up.
    """

    def __init__(self, env: Env, url: str, *, name: str, connect_timeout_s: float = 10.0) -> None:
        self.name = name
        self.inbox = f"_INBOX_{name}.{env.ids.new('link')}"
        """Prefix of this link's reply subjects; the `name` in front is what a service's rights are granted for."""
        self.on_connected: list[Callable[[], None]] = []
        """Called after each connect and reconnect; what a lost server may have forgotten is to be made anew."""
        self.on_disconnected: list[Callable[[], None]] = []
        self.on_refused: list[Callable[[str], None]] = []
        """Called with the subject (in lower case, as the server says it) that this client may not use."""
        self._env = env
        self._urls = [part.strip() for part in url.split(",")]
        self._connect_timeout_s = connect_timeout_s
        self._client: RawClient | None = None
        self._listening: dict[int, tuple[str, Sink]] = {}
        self._numbers: dict[int, int] = {}
        self._next_number = 0
        self._requests: dict[bytes, tuple[str, asyncio.Future[tuple[bytes, bytes | None]]]] = {}
        self._next_request = 0
        self._up = asyncio.Event()
        self._stopped = True
        self._dialling = False

    @property
    def connected(self) -> bool:
        return self._up.is_set()

    @property
    def max_payload(self) -> int:
        """The largest message the server takes, in bytes, headers included."""
        return self._connected().max_payload

    @property
    def address(self) -> str:
        """Host and port, without credentials, for messages."""
        return ", ".join(urlsplit(url).netloc.rpartition("@")[2] for url in self._urls)

    async def start(self) -> None:
        """Connect.

        Raises:
            Unavailable: no server answered in time.
            Unauthenticated: the server refuses these credentials.
        """
        self._stopped = False
        await self.listen(f"{self.inbox}.r.*", self._answered)
        await self._dial(self._connect_timeout_s)

    async def ready(self) -> str | None:
        return None if self.connected else f"no connection to NATS at {self.address}"

    async def stop(self) -> None:
        self._stopped = True
        self._lost()
        client, self._client = self._client, None
        if client is not None:
            await client.shut()
        self._listening.clear()

    async def wait_connected(self, timeout_s: float) -> None:
        """Wait until the link is up; raises Unavailable after `timeout_s`."""
        if self._up.is_set():
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._up.wait()
        except TimeoutError as error:
            raise Unavailable(f"no connection to NATS at {self.address}") from error

    async def listen(self, subject: str, sink: Sink) -> int:
        """Have messages on `subject` (wildcards allowed) given to `sink`, across reconnects; returns its number."""
        self._next_number += 1
        number = self._next_number
        self._listening[number] = (subject, sink)
        if self._client is not None and self._up.is_set():
            self._numbers[number] = await self._client.listen(subject, sink)
        return number

    async def silence(self, number: int, *, flush: bool = False) -> None:
        """End a `listen`. With `flush`, what is on its way still reaches the sink before this returns."""
        self._listening.pop(number, None)
        theirs = self._numbers.pop(number, None)
        if theirs is not None and self._client is not None:
            try:
                await self._client.silence(theirs, flush=flush)
            except (errors.Error, TimeoutError, OSError):
                return  # the connection is gone, and the subscription with it

    def post(self, command: bytes) -> None:
        """Send a PUB or HPUB command in protocol form (see `publish_command`); it may wait for the next connection."""
        self._connected().post(command)

    async def flush(self, timeout_s: float = 2.0) -> None:
        """Wait until the server has read what was posted. Raises Unavailable when it does not."""
        try:
            await self._connected().flush(timeout=ceil(timeout_s))
        except (errors.Error, TimeoutError, OSError) as error:
            raise Unavailable(f"NATS at {self.address} does not answer") from error
        if not self._up.is_set():
            raise self._why_not()

    async def request(
        self, subject: str, payload: bytes, *, headers: bytes = b"", timeout_s: float = REQUEST_TIMEOUT_S
    ) -> bytes:
        """Send a request and return the answer's payload.

        Raises:
            Unavailable: not connected, or nobody listens on `subject`.
            OutcomeUnknown: it was sent, and no answer came in time.
            PermissionDenied: this client may not use `subject`.
        """
        if not self._up.is_set():
            raise self._why_not()
        client = self._connected()
        self._next_request += 1
        reply = f"{self.inbox}.r.{self._next_request}".encode()
        answer: asyncio.Future[tuple[bytes, bytes | None]] = asyncio.get_running_loop().create_future()
        self._requests[reply] = (subject, answer)
        client.post(publish_command(subject.encode(), reply, headers, payload))
        try:
            async with asyncio.timeout(timeout_s):
                data, head = await answer
        except TimeoutError as error:
            raise OutcomeUnknown(f"NATS did not answer on {subject} within {timeout_s} s") from error
        finally:
            self._requests.pop(reply, None)
        if head is not None and head.startswith(b"NATS/1.0 503"):
            raise Unavailable(f"nobody at NATS {self.address} answers on {subject}")
        return data

    async def _dial(self, timeout_s: float | None) -> None:
        """Connect a new client, and bring the subscriptions along."""
        client = self._client = RawClient()
        self._dialling = True
        options: dict[str, Any] = {
            "servers": self._urls,
            "name": f"{self.name}@{self._env.node}",
            "inbox_prefix": self.inbox,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": RECONNECT_WAIT_S,
            "connect_timeout": 2,
            "ping_interval": PING_INTERVAL_S,
            "max_outstanding_pings": 2,
            "error_cb": self._failed,
            "disconnected_cb": self._disconnected,
            "reconnected_cb": self._reconnected,
            "closed_cb": self._closed,
        }
        try:
            async with asyncio.timeout(timeout_s):
                await client.connect(**options)
        except HanseError:
            await client.shut()
            raise
        except (TimeoutError, errors.Error, OSError) as error:
            await client.shut()
            raise self._why_not() from error
        finally:
            self._dialling = False
        self._numbers = {
            number: await client.listen(subject, sink) for number, (subject, sink) in list(self._listening.items())
        }
        await self._reconnected()

    def _connected(self) -> RawClient:
        """The client of the present or the last connection; what is posted between two waits for the next."""
        if self._client is None:
            raise self._why_not()
        return self._client

    def _why_not(self) -> HanseError:
        return Unavailable(f"no connection to NATS at {self.address}")

    async def _reconnected(self) -> None:
        self._up.set()
        for call in self.on_connected:
            call()

    async def _disconnected(self) -> None:
        self._lost()

    async def _closed(self) -> None:
        """The library gave up: the server threw us out (rights changed, protocol error). Dial again."""
        self._lost()
        if not self._stopped:
            self._env.scope.spawn(self._redial(), name=f"{self.name}/redial")

    async def _redial(self) -> None:
        while not self._stopped:
            await self._env.clock.sleep(RECONNECT_WAIT_S * 5)
            try:
                await self._dial(None)
                break
            except HanseError as error:
                self._env.scope.on_error(f"{self.name}/redial", error)

    def _lost(self) -> None:
        if self._up.is_set():
            self._up.clear()
            if self._client is not None:
                self._client.abandon()
            for call in self.on_disconnected:
                call()
        for subject, answer in list(self._requests.values()):
            if not answer.done():
                answer.set_exception(OutcomeUnknown(f"the connection to NATS was lost during a request on {subject}"))

    async def _failed(self, error: Exception) -> None:
        """The library's error callback: the only place where refusals show."""
        text = str(error).lower()
        if (found := _VIOLATION.search(text)) is not None:
            action, refused = found.groups()
            for subject, answer in list(self._requests.values()):
                if subject.lower() == refused and not answer.done():
                    answer.set_exception(PermissionDenied(f"NATS refuses this client the {action} to {subject}"))
            for call in self.on_refused:
                call(refused)
        elif self._dialling and any(word in text for word in _UNAUTHORIZED):
            # Raised through the library's `connect`, which would try for ever. Trying again can't help a first dial.
            raise Unauthenticated(f"NATS at {self.address} refuses the credentials of {self.name}")

    def _answered(self, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        waiting = self._requests.get(subject)
        if waiting is not None and not waiting[1].done():
            waiting[1].set_result((data, headers))


def publish_command(subject: bytes, reply: bytes, headers: bytes, payload: bytes) -> bytes:
    """PUB or HPUB in protocol form. Source: NATS client protocol, docs.nats.io/reference/reference-protocols.

    Args:
        subject, reply: validated by the caller: no blanks, no line ends. `reply` may be empty.
        headers: a block from `NATS/1.0` to the empty line, or nothing.
        payload: any bytes.
    """
    if headers:
        size = len(headers)
        return b"HPUB %b %b %d %d\r\n%b%b\r\n" % (subject, reply, size, size + len(payload), headers, payload)
    return b"PUB %b %b %d\r\n%b\r\n" % (subject, reply, len(payload), payload)
