"""Counts of distributed rate limiters in a NATS key-value bucket."""

from base64 import b64decode
from hashlib import blake2b
from math import ceil
from typing import Any

import orjson

from hanse.broker import JetStream, JetStreamError, Link
from hanse.core import Env
from hanse.core.errors import HanseError, Unavailable
from hanse.resilience.store import RateStore, Stored

BUCKET = "KV_LIMITS"
_PREFIX = "$KV.LIMITS."
_NO_SUCH_STREAM = 10059
_WRONG_REVISION = (10071, 10164)
_DIGEST_BYTES = 16

_CONFIG: dict[str, Any] = {
    "name": BUCKET,
    "subjects": [f"{_PREFIX}>"],
    "max_msgs_per_subject": 1,
    "storage": "memory",
    "discard": "new",
    "allow_rollup_hdrs": True,
    "allow_direct": True,
    "allow_msg_ttl": True,
}
"""A bucket as the NATS tools know it, in the server's memory. Source: NATS ADR-8 (key-value), ADR-43 (time to live)."""


class NatsRateStore(RateStore):
    """A bucket that all replicas share; a server that has lost it gets a new, empty one.

    Keys are hashed: what users send does not end up in subjects. A client needs the right to use `$KV.LIMITS.>` and
    `$JS.API.STREAM.*.KV_LIMITS`.

    Args:
        env: the node's seams.
        url: of the server or cluster, see `hanse.broker.Link`.
        name: of the client.
    """

    def __init__(self, env: Env, url: str, *, name: str = "rate-store") -> None:
        self.name = name
        self._link = Link(env, url, name=name)
        self._jetstream = JetStream(self._link)
        self._made = False
        self._link.on_disconnected.append(self._forget)

    async def start(self) -> None:
        await self._link.start()

    async def ready(self) -> str | None:
        return await self._link.ready()

    async def stop(self) -> None:
        await self._link.stop()

    async def load(self, key: str) -> Stored | None:
        await self._make()
        try:
            answer = await self._jetstream.call(f"STREAM.MSG.GET.{BUCKET}", {"last_by_subj": _subject(key)})
        except JetStreamError as error:
            if error.details.get("err_code") == _NO_SUCH_STREAM:
                self._made = False
                await self._make()
                return None
            if error.not_found:
                return None
            raise
        message = answer["message"]
        data = b64decode(message.get("data", ""))
        return Stored(data, int(message["seq"]))

    async def save(self, key: str, state: bytes, revision: int, ttl_s: float) -> int | None:
        headers = b"NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: %d\r\nNats-TTL: %ds\r\n\r\n"
        return await self._put(_subject(key), state, headers % (revision, max(ceil(ttl_s), 1)))

    async def clear(self, key: str) -> None:
        await self._make()
        await self._jetstream.call(f"STREAM.PURGE.{BUCKET}", {"filter": _subject(key)})

    async def _put(self, subject: str, state: bytes, headers: bytes) -> int | None:
        await self._make()
        try:
            answer = orjson.loads(await self._link.request(subject, state, headers=headers))
        except HanseError:
            self._made = False
            raise
        error = answer.get("error")
        if error is None:
            return int(answer["seq"])
        if error.get("err_code") in _WRONG_REVISION:
            return None
        raise Unavailable(f"NATS refuses to count: {error.get('description', 'no reason given')}")

    async def _make(self) -> None:
        if not self._made:
            await self._jetstream.ensure_stream(_CONFIG)
            self._made = True

    def _forget(self) -> None:
        self._made = False


def _subject(key: str) -> str:
    return _PREFIX + blake2b(key.encode(), digest_size=_DIGEST_BYTES).hexdigest()
