"""A continuous pull from a durable consumer: requests are renewed before they are used up."""

from collections.abc import Callable

import orjson

from hanse.broker import NANOS, Link, publish_command
from hanse.core import Env
from hanse.events.nats_wire import EVENTS

EXPIRES_S = 30
HEARTBEAT_S = 1
BUFFER_S = 0.05
BUFFER_MAX = 512

Raw = tuple[bytes, bytes, bytes, bytes | None]
"""Subject, subject to acknowledge on, payload, header block."""


def window(concurrency: int, mean_s: float) -> int:
    """How many events to have buffered or on their way: about `BUFFER_S` of work.

    A slow replica must not hoard what another could handle, a quick one must not wait for the network.

    Args:
        concurrency: handlers at work at the same time.
        mean_s: what one takes.
    """
    return min(BUFFER_MAX, max(concurrency, int(concurrency * BUFFER_S / max(mean_s, 1e-6))))


class Pull:
    """Asks the server for messages and passes them on.

    Args:
        env: the node's seams.
        link: the started connection.
        consumer: name of the durable consumer.
        deliver: gets each message.
        hungry: called when a request ended unused, to ask again.
        broken: called when the server answers that something is wrong with the consumer.
    """

    def __init__(
        self,
        env: Env,
        link: Link,
        consumer: str,
        *,
        deliver: Callable[[Raw], None],
        hungry: Callable[[], None],
        broken: Callable[[], None],
    ) -> None:
        self.coming = 0
        """Messages asked for that have not come yet."""
        self._env = env
        self._link = link
        self._deliver = deliver
        self._hungry = hungry
        self._broken = broken
        self._inbox = f"{link.inbox}.c.{env.ids.new('pull')}"
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS}.{consumer}".encode()
        self._listening = 0
        self._heard = 0.0

    async def start(self) -> None:
        self._listening = await self._link.listen(self._inbox, self._received)

    async def stop(self) -> None:
        """Ask for no more; what the server has sent by now is still delivered before this returns."""
        await self._link.silence(self._listening, flush=True)

    def ask(self, count: int) -> None:
        """Ask for `count` more messages."""
        if self.coming == 0:
            self._heard = self._env.clock.monotonic()
        self.coming += count
        request = {"batch": count, "expires": EXPIRES_S * NANOS, "idle_heartbeat": HEARTBEAT_S * NANOS}
        self._link.post(publish_command(self._subject, self._inbox.encode(), b"", orjson.dumps(request)))

    def forget(self) -> None:
        """Earlier requests died with a connection or a consumer."""
        self.coming = 0

    def silent(self) -> bool:
        """True when the server owes a message or a heartbeat, and has sent neither for some time."""
        return self.coming > 0 and self._env.clock.monotonic() - self._heard > 2.5 * HEARTBEAT_S

    def _received(self, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        if reply:
            self.coming -= 1
            self._deliver((subject, reply, data, headers))
        else:
            self._status(headers or b"")

    def _status(self, headers: bytes) -> None:
        """Source: NATS ADR-37, pull consumer statuses."""
        self._heard = self._env.clock.monotonic()
        code = headers[9:12]
        if code == b"100":
            return
        _, told, rest = headers.partition(b"Nats-Pending-Messages: ")
        unused = int(rest.split(b"\r\n", 1)[0]) if told else self.coming
        self.coming = max(0, self.coming - unused)
        if code == b"408" or b"Batch Completed" in headers:
            self._hungry()
        else:
            self._broken()
