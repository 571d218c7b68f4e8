"""The mirror of the bucket: snapshots compared, the forgotten held for a moment, losses noticed."""

import asyncio

import orjson
import pytest

from hanse.core import Env
from hanse.registry import Instance
from hanse.registry.nats_bucket import Entry, delete_headers, put_headers, subject, write_entry
from hanse.registry.nats_feed import Feed
from hanse.testing.clock import ManualClock

EXPIRED = b"NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\n\r\n"
HOLD_S, TTL_S = 1.0, 9


class Bucket:
    """Plays link and server for one feed."""

    def __init__(self, clock):
        self.connected = True
        self.inbox = "_INBOX"
        self.address = "test"
        self.consumers = 0
        self.held = 0
        self._clock = clock
        self._sequence = 0

    async def listen(self, subject, sink):
        self.sink = sink
        self._sequence = 0
        return 1

    async def silence(self, number, *, flush=False):
        pass

    async def ready(self):
        return None

    async def request(self, subject, payload, *, headers=b"", timeout_s=5.0):
        self.consumers += 1
        return orjson.dumps({"num_pending": self.held, "delivered": {"consumer_seq": 0}})

    def put(self, id, *, pending=0, port=1):
        entry = Entry(Instance("orders", id, "h", port), TTL_S)
        self.send(id, write_entry(entry), put_headers(TTL_S), pending)

    def send(self, id, data, headers, pending=0, skip=0):
        self._sequence += 1 + skip
        reply = f"$JS.ACK.KV_REG.feed.1.99.{self._sequence}.0.{pending}".encode()
        self.sink(subject("orders", id).encode(), reply, data, headers)


class Scene:
    def __init__(self):
        self.clock = ManualClock()
        self.env = Env.build("test", clock=self.clock)
        self.bucket = Bucket(self.clock)
        self.feed = Feed(self.env, self.bucket, "orders", hold_s=HOLD_S)
        self.told = []
        self.feed.listeners[lambda now: self.told.append([instance.id for instance in now["orders"]])] = None

    async def snapshot(self, *ids):
        self.bucket.held = len(ids)
        self.feed.sync()
        await self.steps()
        for left, id in zip(range(len(ids) - 1, -1, -1), ids, strict=True):
            self.bucket.put(id, pending=left)

    async def steps(self):
        for _ in range(20):
            await asyncio.sleep(0)

    async def pass_time(self, seconds):
        """Let time pass in small steps, with the server's heartbeats coming in."""
        for _ in range(int(seconds / 0.125)):
            self.clock.advance(0.125)
            if self.bucket.connected:
                self.bucket.sink(b"", b"", b"", b"NATS/1.0 100 Idle Heartbeat\r\n\r\n")
            await self.steps()


@pytest.fixture
async def scene():
    scene = Scene()
    await scene.steps()
    yield scene
    await scene.feed.stop()
    await scene.env.scope.close()


async def test_the_first_set_is_told_once_and_whole(scene):
    await scene.snapshot("a", "b")
    await scene.feed.first()
    assert scene.told == [["a", "b"]]


async def test_an_empty_bucket_is_a_full_set_too(scene):
    await scene.snapshot()
    await scene.feed.first()
    assert scene.feed.current() == {"orders": ()}


async def test_renewals_tell_nobody_changes_do(scene):
    await scene.snapshot("a")
    scene.bucket.put("a")
    scene.bucket.put("b")
    scene.bucket.put("b", port=2)
    scene.bucket.send("a", b"", delete_headers())
    scene.bucket.send("a", b"", delete_headers())
    assert scene.told == [["a"], ["a", "b"], ["a", "b"], ["b"]]


async def test_what_a_new_server_lacks_is_held_for_a_moment(scene):
    await scene.snapshot("a", "b")
    await scene.snapshot("b")
    await scene.pass_time(HOLD_S * 0.7)
    assert scene.told == [["a", "b"]]
    await scene.pass_time(HOLD_S)
    assert scene.told == [["a", "b"], ["b"]]


async def test_what_comes_back_in_time_never_went(scene):
    await scene.snapshot("a", "b")
    await scene.snapshot("b")
    scene.bucket.put("a")
    await scene.pass_time(HOLD_S * 2)
    assert scene.told == [["a", "b"]]


async def test_an_expiry_during_an_outage_is_held_an_ordinary_one_is_not(scene):
    await scene.snapshot("a", "b")
    await scene.pass_time(HOLD_S + 0.25)
    scene.bucket.send("a", b"", EXPIRED)
    assert scene.told[-1] == ["b"]
    await scene.snapshot("b")
    scene.bucket.send("b", b"", EXPIRED)
    assert scene.told[-1] == ["b"]
    await scene.pass_time(HOLD_S + 0.25)
    assert scene.told[-1] == []


async def test_a_removal_on_purpose_is_believed_at_once(scene):
    await scene.snapshot("a", "b")
    scene.bucket.send("a", b"", delete_headers())
    assert scene.told[-1] == ["b"]


async def test_what_is_never_renewed_goes_even_without_a_word(scene):
    await scene.snapshot("a")
    await scene.pass_time(TTL_S)
    assert scene.told == [["a"]]
    await scene.pass_time(3)
    assert scene.told == [["a"], []]


async def test_nothing_is_forgotten_while_the_server_is_away(scene):
    await scene.snapshot("a")
    scene.bucket.connected = False
    await scene.pass_time(TTL_S * 3)
    assert scene.told == [["a"]]


async def test_a_gap_takes_a_new_snapshot(scene):
    await scene.snapshot("a")
    before = scene.bucket.consumers
    scene.bucket.send("b", b"", delete_headers(), skip=1)
    await scene.steps()
    assert scene.bucket.consumers == before + 1


async def test_silence_takes_a_new_snapshot(scene):
    await scene.snapshot("a")
    before = scene.bucket.consumers
    for _ in range(16):
        scene.clock.advance(0.25)
        await scene.steps()
    assert scene.bucket.consumers == before + 1
    assert scene.told == [["a"]]


async def test_garbage_is_reported_and_ignored(scene):
    problems = []
    scene.env.scope.on_error = lambda task, error: problems.append(error)
    await scene.snapshot("a")
    scene.bucket.send("b", b"garbage", None)
    assert scene.told == [["a"]]
    assert len(problems) == 1
