"""Publishing against an Envoy that takes over files in the worst order it may choose."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hanse.core import Clock, SystemClock
from hanse.core.errors import Unavailable
from hanse.gateway import Cluster, Endpoint, GatewayModel, Refused, Route
from hanse.gateway.admin import Admin
from hanse.gateway.compiler import CLUSTERS, FILES, LISTENERS, ROUTES
from hanse.gateway.publisher import Publisher


class FakeEnvoy(Admin):
    """Each time it is asked it takes over one file, any of those that are new; it minds clusters that are missing."""

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder / "none.sock")
        self.folder = folder
        self.choice = random.Random(seed)
        self.running = False
        self.taken: dict[str, dict[str, Any]] = {}
        self.bad: set[str] = set()
        self.refusals: dict[str, int] = {}
        self.seen: dict[str, str] = {}

    def start(self) -> None:
        """It initialises in an order of its own, clusters before anything that names them."""
        self.running = True
        self.taken = dict(self._files())
        self.seen = {name: file["version_info"] for name, file in self.taken.items()}

    async def state(self) -> str:
        return "LIVE" if self.running else ""

    async def refused(self) -> dict[str, int]:
        return dict(self.refusals)

    async def applied(self) -> dict[str, str]:
        fresh = {name: file for name, file in self._files() if self.seen.get(name) != file["version_info"]}
        if fresh:
            name = self.choice.choice(sorted(fresh))
            self.seen[name] = fresh[name]["version_info"]
            if name in self.bad:
                self.refusals[name] = self.refusals.get(name, 0) + 1
            else:
                self.taken[name] = fresh[name]
                self.check()
        return {name: file["version_info"] for name, file in self.taken.items()}

    def check(self) -> None:
        if ROUTES in self.taken:
            there = {cluster["name"] for cluster in self.taken[CLUSTERS]["resources"]}
            assert set(_named_clusters(self.taken[ROUTES])) <= there, "a route names a cluster that is missing"

    def _files(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for name in FILES:
            if (self.folder / name).exists():
                yield name, json.loads((self.folder / name).read_text())


def _named_clusters(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("cluster"), str):
            yield value["cluster"]
        for inner in value.values():
            yield from _named_clusters(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _named_clusters(inner)


class InstantClock(SystemClock):
    """Does not sleep, but says that it did."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0
        self.monotonic = lambda: self.passed

    async def sleep(self, seconds: float) -> None:
        self.passed += seconds


async def believe(content: object) -> None:
    return None


def publisher_of(envoy: FakeEnvoy, clock: Clock | None = None) -> Publisher:
    return Publisher(
        clock or InstantClock(), envoy.folder, envoy, validate=believe, complaints=lambda: "it dislikes this"
    )


def model_of(*services: str) -> GatewayModel:
    return GatewayModel(tuple(Route(f"/{name}", name, limit="5/s") for name in services))


@pytest.mark.parametrize("seed", range(20))
async def test_no_route_ever_names_a_missing_cluster(tmp_path: Path, seed: int) -> None:
    envoy = FakeEnvoy(tmp_path, seed)
    publisher = publisher_of(envoy)
    await publisher.publish(model_of("a", "b"))
    envoy.start()
    await publisher.acknowledged()
    for services in (("b", "c"), ("d",), ("a", "b", "c", "d"), ("e",)):
        await publisher.publish(model_of(*services))
        assert {c["name"] for c in envoy.taken[CLUSTERS]["resources"]} == set(services)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("bad", FILES)
async def test_what_is_refused_leaves_everything_as_it_was(tmp_path: Path, bad: str, seed: int) -> None:
    envoy = FakeEnvoy(tmp_path, seed)
    publisher = publisher_of(envoy)
    await publisher.publish(model_of("a"))
    envoy.start()
    await publisher.acknowledged()
    texts = {name: (tmp_path / name).read_text() for name in FILES}
    before = dict(envoy.taken)
    envoy.bad = {bad}
    changed = replace(model_of("b"), origins=("https://a.example",), access_log="/dev/null")
    if bad != "jwt.json":  # without providers it does not change
        with pytest.raises(Refused, match="it dislikes this"):
            await publisher.publish(changed)
        envoy.bad = set()
        for _ in FILES:
            await envoy.applied()
        assert {name: (tmp_path / name).read_text() for name in FILES} == texts
        assert envoy.taken == before


async def test_endpoints_alone_are_not_validated(tmp_path: Path) -> None:
    asked: list[object] = []

    async def ask(content: object) -> None:
        asked.append(content)

    envoy = FakeEnvoy(tmp_path, 0)
    publisher = Publisher(InstantClock(), tmp_path, envoy, validate=ask, complaints=str)
    await publisher.publish(model_of("a"))
    grown = replace(model_of("a"), clusters={"a": Cluster((Endpoint("127.0.0.1", 1),))})
    assert await publisher.publish(grown) == (CLUSTERS,)
    assert await publisher.publish(grown) == ()
    assert len(asked) == 1


async def test_an_envoy_that_does_not_follow_is_told_of(tmp_path: Path) -> None:
    class Deaf(FakeEnvoy):
        async def applied(self) -> dict[str, str]:
            return {}

    envoy = Deaf(tmp_path, 0)
    envoy.running = True
    with pytest.raises(Unavailable, match=r"clusters\.json in 10 s"):
        await publisher_of(envoy).publish(model_of("a"))


async def test_half_a_publication_of_an_earlier_life_is_completed(tmp_path: Path) -> None:
    envoy = FakeEnvoy(tmp_path, 0)
    await publisher_of(envoy).publish(model_of("a"))
    (tmp_path / LISTENERS).write_text("{ torn")
    (tmp_path / ROUTES).unlink()
    assert await publisher_of(envoy).publish(model_of("a")) == (ROUTES, LISTENERS)
