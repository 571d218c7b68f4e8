"""Which services an edit concerns, and the watch that hears of edits."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from hanse.system.source import find_module
from hanse.system.topology import System

_SUFFIXES = {".py", ".sql", ".toml", ".env"}
_STEP_MS = 10
_DEBOUNCE_MS = 200


@dataclass(frozen=True, slots=True)
class Edit:
    """A set of changed files, as what it means for the system."""

    files: tuple[Path, ...]
    services: tuple[str, ...]
    """To be loaded again."""
    topology: bool = False
    """The topology's own file is among them."""


class Sources:
    """Maps files to services: a service's package is its own; whatever else is in the system's folder is shared."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._single = system.root == system.folder
        self._homes: dict[str, Path] = {}
        for service in system.services:
            file = find_module(service.module, system.root)
            if file is not None:
                self._homes[service.name] = file if file.parent == system.folder else file.parent

    def edit(self, paths: Iterable[Path]) -> Edit:
        """What a change of these files concerns; files of no interest are left out."""
        files = tuple(sorted({path for path in paths if self._relevant(path)}))
        names: dict[str, None] = {}
        topology = False
        for file in files:
            owners = [name for name, home in self._homes.items() if file == home or file.is_relative_to(home)]
            if file == self._system.file and not self._single:
                topology = True
            else:
                names |= dict.fromkeys(owners or self._homes)
        return Edit(files, tuple(names), topology)

    def folders(self) -> tuple[list[Path], list[Path]]:
        """What to watch: folders with all below them, and folders alone. `.hanse/` is never among them."""
        folder = self._system.folder
        below = [path for path in sorted(folder.iterdir()) if path.is_dir() and self._visible(path)]
        outside = [home for home in self._homes.values() if home.is_dir() and not home.is_relative_to(folder)]
        return ([] if self._single else below + outside), [folder]

    def _relevant(self, path: Path) -> bool:
        inside = path.relative_to(self._system.folder) if path.is_relative_to(self._system.folder) else path
        visible = all(self._visible(Path(part)) for part in inside.parts)
        return visible and (path.suffix in _SUFFIXES or path.name == ".env")

    def _visible(self, path: Path) -> bool:
        return path.name == ".env" or not (path.name.startswith(".") or path.name == "__pycache__")


async def edits(sources: Sources, stop: asyncio.Event, spawn: Callable[..., object]) -> AsyncIterator[Edit]:
    """Edits as they happen, 10 ms after the last write of a burst, until `stop` is set."""
    from watchfiles import awatch

    changes: asyncio.Queue[list[Path]] = asyncio.Queue()

    async def follow(folders: list[Path], recursive: bool) -> None:
        async for batch in awatch(
            *folders,
            watch_filter=None,
            step=_STEP_MS,
            debounce=_DEBOUNCE_MS,
            recursive=recursive,
            stop_event=stop,
            ignore_permission_denied=True,
            rust_timeout=1000,
            yield_on_timeout=False,
        ):
            changes.put_nowait([Path(path) for _, path in batch])

    below, alone = sources.folders()
    if below:
        spawn(follow(below, True), name="watch packages")
    spawn(follow(alone, False), name="watch folder")
    while not stop.is_set():
        edit = sources.edit(await changes.get())
        if edit.files:
            yield edit
