"""Ports: take the wanted one or another, and name who holds a taken one."""

import errno
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from hanse.core.errors import ConfigurationError

_BACKLOG = 1024
_NEIGHBOURS = 20
_LISTEN = "0A"


class PortTaken(ConfigurationError):
    """A fixed port is held by another process. Stop that one, or choose another port."""

    code = "port_taken"


@dataclass(frozen=True, slots=True)
class Choice:
    """A port, and what to tell the person when it is not the wanted one."""

    port: int
    note: str = ""


def listen(host: str, wanted: int | None, *, fixed: bool = False, label: str = "") -> tuple[socket.socket, Choice]:
    """A listening socket on the wanted port, or on a free one.

    Raises:
        PortTaken: the port is fixed and taken.
    """
    choice = choose(host, wanted, fixed=fixed, label=label)
    made = _bound(host, choice.port)
    if made is None:  # lost a race in the last microseconds
        made = _bound(host, 0)
    if made is None:
        raise PortTaken(f"{label}: no free port on {host}")
    made.listen(_BACKLOG)
    made.setblocking(False)
    return made, Choice(made.getsockname()[1], choice.note)


def reserve(host: str, wanted: int | None, *, fixed: bool = False, label: str = "") -> tuple[socket.socket, Choice]:
    """A port kept for a server that binds it by itself, with SO_REUSEPORT, as often as it is started.

    The socket never listens, so it gets no connections; as long as it is open, no other program can take the port,
    neither before the server binds it nor while the server is being restarted.

    Raises:
        PortTaken: the port is fixed and taken.
    """
    choice = choose(host, wanted, fixed=fixed, label=label)
    for reuse_address in (0, 1):  # the second is weaker, and needed where old connections still linger on the port
        made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse_address)
        try:
            made.bind((host, choice.port))
        except OSError:
            made.close()
        else:
            return made, choice
    return reserve(host, None if choice.note else wanted, fixed=fixed, label=label)  # lost a race: look again


def choose(host: str, wanted: int | None, *, fixed: bool = False, label: str = "") -> Choice:
    """A port that could be bound a moment ago, for a server that binds by itself.

    Args:
        wanted: tried first; then, unless `fixed`, the twenty above it, then any.
        label: who wants it, for the message.

    Raises:
        PortTaken: the port is fixed and taken, or the address is not of this machine.
    """
    if not wanted:
        return Choice(_free(host, range(1), label))
    if _usable(host, wanted, label):
        return Choice(wanted)
    by = holder(wanted)
    taken = f"port {wanted} is taken by {by}" if by else f"port {wanted} is taken"
    if fixed:
        raise PortTaken(f"{label}: {taken}, and it is fixed; stop that process or choose another port")
    port = _free(host, [*range(wanted + 1, min(wanted + 1 + _NEIGHBOURS, 65536)), 0], label)
    return Choice(port, f"{label}: {taken}; using {port}")


def holder(port: int) -> str:
    """Who listens on a TCP port, for example `nginx (pid 812)`; empty when the kernel does not tell."""
    inodes = {f"socket:[{inode}]" for table in ("tcp", "tcp6") for inode in _listeners(table, port)}
    if not inodes:
        return ""
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _owns(process, inodes):
            return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
    return "a process of another user"


def _owns(process: Path, inodes: set[str]) -> bool:
    try:
        return any(str(link.readlink()) in inodes for link in (process / "fd").iterdir())
    except OSError:
        return False


def _listeners(table: str, port: int) -> list[str]:
    try:
        rows = Path("/proc/net", table).read_text().splitlines()[1:]
    except OSError:
        return []
    fields = [row.split() for row in rows]
    return [row[9] for row in fields if row[3] == _LISTEN and int(row[1].rpartition(":")[2], 16) == port]


def _free(host: str, candidates: "range | list[int]", label: str) -> int:
    for port in candidates:
        if (made := _bound(host, port)) is not None:
            with made:
                number: int = made.getsockname()[1]
                return number
    raise PortTaken(f"{label}: no free port on {host}")


def _usable(host: str, port: int, label: str) -> bool:
    try:
        made = _bound(host, port)
    except OSError as error:
        raise PortTaken(f"{label}: can't listen on {host}:{port}: {os.strerror(error.errno or 0)}") from error
    if made is None:
        return False
    made.close()
    return True


def _bound(host: str, port: int) -> socket.socket | None:
    """A socket bound there; None when the port is taken."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(1)  # only listening tells a port apart that another process bound with the same option
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise
    return made
