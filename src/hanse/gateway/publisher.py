"""Publishing: a model becomes what Envoy works with, in an order that never breaks a request, or nothing changes."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hanse.core import Clock
from hanse.core.errors import HanseError, Unavailable
from hanse.gateway.admin import Admin
from hanse.gateway.compiler import CLUSTERS, FILES, File, compile, static_bootstrap
from hanse.gateway.model import GatewayModel
from hanse.gateway.resource import Resource

_POLL_S = 0.005
_ACK_S = 10.0


class Refused(HanseError):
    """Envoy does not accept a configuration. What it served before is still served; correct the model."""

    code = "gateway_refused"


@dataclass(frozen=True, slots=True)
class _Content:
    version: str
    text: str

    @classmethod
    def of(cls, file: File) -> "_Content":
        resources = file.typed()
        version = hashlib.sha256(json.dumps(resources, sort_keys=True).encode()).hexdigest()[:16]
        return cls(version, json.dumps({"version_info": version, "resources": resources}))


class Publisher:
    """Puts models into the folder of one Envoy.

    The folder is the only state: an Envoy that was killed, and a publisher that was, begin with what lies there.

    Args:
        clock: for the pauses between questions whether Envoy has followed.
        folder: Envoy's working directory; it exists.
        admin: of the Envoy that reads the folder, running or not.
        validate: asks an Envoy whether it would accept a bootstrap; raises Refused.
        complaints: what Envoy has last written to its log.
    """

    def __init__(
        self,
        clock: Clock,
        folder: Path,
        admin: Admin,
        *,
        validate: Callable[[Resource], Awaitable[None]],
        complaints: Callable[[], str],
    ) -> None:
        self._clock = clock
        self._folder = folder
        self._admin = admin
        self._validate = validate
        self._complaints = complaints
        self._turn = asyncio.Lock()

    async def publish(self, model: GatewayModel) -> tuple[str, ...]:
        """Make `model` what Envoy does; when Envoy is not running, what it will do when started.

        Clusters that are no longer needed go last, after Envoy has confirmed routes that don't name them: removed in
        one go, requests on their way would meet a missing cluster.

        Returns:
            The files that changed; none when `model` is what is there already.
        Raises:
            ConfigurationError: the model has problems, one per line. Nothing has changed.
            Refused: Envoy does not accept it. Nothing has changed.
            Unavailable: Envoy runs and has not followed in 10 s. The files are in place.
        """
        files = compile(model)
        async with self._turn:
            return await self._publish(model, files)

    def versions(self) -> dict[str, str]:
        """The version of each file that lies in the folder."""
        found = {}
        for name in FILES:
            try:
                found[name] = str(json.loads((self._folder / name).read_bytes())["version_info"])
            except (OSError, ValueError, KeyError):
                continue
        return found

    async def acknowledged(self) -> None:
        """Wait until Envoy works with the versions in the folder.

        Raises:
            Refused: it has refused one since it started.
            Unavailable: it has not followed in 10 s.
        """
        await self._acknowledged(FILES, {})

    async def _publish(self, model: GatewayModel, files: dict[str, File]) -> tuple[str, ...]:
        before = self.versions()
        changed = [name for name, file in files.items() if before.get(name) != _Content.of(file).version]
        if not changed:
            return ()
        if changed != [CLUSTERS]:
            # Endpoints alone come and go too often for a check of 40 ms, and the model has checked them.
            await self._validate(static_bootstrap(model))
        old = {name: (self._folder / name).read_text() for name in before}
        try:
            if gone := self._gone(files[CLUSTERS]):
                both = File(files[CLUSTERS].type, (*files[CLUSTERS].resources, *gone))
                await self._place({**files, CLUSTERS: both}, changed)
                await self._place(files, [CLUSTERS])
            else:
                await self._place(files, changed)
        except Refused:
            await self._restore(old)
            raise
        return tuple(changed)

    def _gone(self, file: File) -> list[Resource]:
        """Clusters that lie in the folder and are not in `file`."""
        try:
            there = json.loads((self._folder / CLUSTERS).read_bytes())["resources"]
        except (OSError, ValueError, KeyError):
            return []
        wanted = {cluster["name"] for cluster in file.resources}
        return [{k: v for k, v in c.items() if k != "@type"} for c in there if c["name"] not in wanted]

    async def _place(self, files: dict[str, File], names: list[str]) -> None:
        """Put files in place one after the other, each only when Envoy has taken over the one before: it hears of
        renames in no particular order, and routes that come before their clusters answer 503."""
        for name in (name for name in files if name in names):
            running = bool(await self._admin.state())
            refused = await self._admin.refused() if running else {}
            self._write(name, _Content.of(files[name]).text)
            if running:
                await self._acknowledged((name,), refused)

    async def _restore(self, texts: dict[str, str]) -> None:
        """Put back what lay there before; what names others first, so that nothing it names is missing."""
        for name in reversed(FILES):
            if name in texts and texts[name] != (self._folder / name).read_text():
                self._write(name, texts[name])
                with suppress(HanseError):  # the refusal is what the caller must hear of
                    await self._acknowledged((name,), await self._admin.refused())

    async def _acknowledged(self, names: Iterable[str], refused_before: dict[str, int]) -> None:
        there = self.versions()
        wanted = {name: there[name] for name in names}
        until = self._clock.monotonic() + _ACK_S
        while not wanted.items() <= (await self._admin.applied()).items():
            refused = await self._admin.refused()
            if bad := [name for name in wanted if refused.get(name, 0) > refused_before.get(name, 0)]:
                raise Refused(f"Envoy refuses {', '.join(bad)}: {self._complaints()}", files=bad)
            if self._clock.monotonic() > until:
                raise Unavailable(f"Envoy has not taken over {', '.join(wanted)} in {_ACK_S:g} s")
            await self._clock.sleep(_POLL_S)

    def _write(self, name: str, text: str) -> None:
        """Replace a file at once: Envoy watches for renames and never sees half of one."""
        fresh = self._folder / f".{name}"
        fresh.write_text(text)
        fresh.replace(self._folder / name)
