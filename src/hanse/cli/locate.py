"""Which system a verb means, when it is already running or may be."""

from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

from hanse.core.errors import ConfigurationError, Unavailable
from hanse.system.lock import SystemLock
from hanse.system.state import StateFolder
from hanse.system.topology import shown


def add_system_option(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--system",
        metavar="PATH",
        help="its folder or file; default: the one that runs here, in ./systems/* or above",
    )


def state_of(path: str) -> StateFolder:
    """Where the system at `path` keeps its state; its topology is not read, it may be broken by now.

    Raises:
        ConfigurationError: there is neither a system nor a service's file.
    """
    place = Path(path).absolute()
    if place.is_dir():
        if (place / "system.py").exists() or (place / ".hanse").exists():
            return StateFolder(place / ".hanse")
        raise ConfigurationError(f"{path}: no system.py here. Name a system's folder or a service's file.")
    if not place.is_file():
        raise ConfigurationError(f"{path}: no such file or folder. Name a system's folder or a service's file.")
    single = StateFolder(place.parent / ".hanse" / place.stem)
    return StateFolder(place.parent / ".hanse") if place.name == "system.py" and not single.path.exists() else single


def subject(state: StateFolder) -> str:
    """The system that a state folder belongs to, as a person would name it on the command line."""
    above = state.path.parent
    return shown(above if above.name != ".hanse" else above.parent / f"{state.path.name}.py")


def running(path: str | None) -> StateFolder:
    """The state of a running system.

    Args:
        path: as the person named it; None looks for the only one that runs nearby.

    Raises:
        Unavailable: it does not run, or nothing does.
        ConfigurationError: several run; the message names them.
    """
    if path is not None:
        state = state_of(path)
        if SystemLock(state.lock).holder() is None:
            raise Unavailable(f"{shown(path)} is not running; start it with: hanse up {shown(path)}")
        return state
    found = [state for state in _nearby(Path.cwd()) if SystemLock(state.lock).holder() is not None]
    if not found:
        raise Unavailable("no system runs here; name one with --system PATH, or start one with: hanse up PATH")
    if len(found) > 1:
        names = ", ".join(subject(state) for state in found)
        raise ConfigurationError(f"several systems run here; choose one with --system PATH: {names}")
    return found[0]


def _nearby(here: Path) -> Iterator[StateFolder]:
    folders = [here, *here.parents, *sorted(path for path in (here / "systems").glob("*") if path.is_dir())]
    for folder in folders:
        own = folder / ".hanse"
        if own.is_dir():
            yield StateFolder(own)
            yield from (StateFolder(path) for path in sorted(own.iterdir()) if (path / "lock").exists())
