"""The zygote: a process with one thread that has imported the libraries, and forks a service whenever it is told to.

Runs as `python -m hanse.system.zygote DESCRIPTOR SUPERVISOR-PID`. All forking of services is in this file; what the
child then does is in `child.py`. Application code is never imported here, so an edit needs a new child only.

Protocol over a sequenced-packet socket, one JSON object a packet:
to the zygote   `{"id": 1, "child": {…}}` with the descriptors named in `Order`;
from the zygote `{"warm": seconds}` once, `{"id": 1, "pid": 812}` per fork, `{"pid": 812, "code": -9}` per exit.
"""

import gc
import json
import os
import select
import signal
import socket
import sys
import time
from importlib import import_module
from pathlib import Path

from hanse.system.child import Order, become
from hanse.system.process import tie_to_parent

PACKET_BYTES = 1 << 16
_DESCRIPTORS = 4

_WARM = (
    "uvloop",
    "hanse.service",
    "hanse.service.server",
    "hanse.service.wiring",
    "hanse.db.sqlite",
    "hanse.events.nats",
    "hanse.registry.nats",
    "hanse.durable",
    "hanse.client",
    "granian.server.embed",
    "pydantic.v1",  # FastAPI loads it when it builds the first route
    "pyreqwest.client",
    "anyio._backends._asyncio",
    "sqlalchemy.ext.asyncio",
    "sqlalchemy.orm",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "concurrent.futures.thread",
    "encodings.idna",
)


def warm() -> None:
    """Import the libraries of a service and move them out of the garbage collector's sight, to be shared by all."""
    for name in _WARM:
        import_module(name)
    threads = len(list(Path("/proc/self/task").iterdir())) if Path("/proc/self/task").exists() else 1
    if threads != 1:
        raise SystemExit(f"an import started a thread ({threads} run): forking would not be safe")
    gc.collect()
    gc.freeze()


class Zygote:
    """Serves fork orders until its supervisor hangs up."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: dict[int, int] = {}  # pidfd: pid
        self._poll = select.poll()

    def serve(self) -> None:
        """Never returns in the zygote; returns in a child that has ended."""
        self._poll.register(self._control, select.POLLIN)
        while True:
            for fd, _ in self._poll.poll():
                if fd != self._control.fileno():
                    self._reap(fd)
                elif self._obey():
                    return

    def _obey(self) -> bool:
        """Do what one packet says. True in the child."""
        packet, descriptors, _, _ = socket.recv_fds(self._control, PACKET_BYTES, _DESCRIPTORS)
        if not packet:
            os._exit(0)  # the kernel then kills the children
        message = json.loads(packet)
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            tie_to_parent(parent)()
            become(Order(**message["child"]), descriptors)
            return True
        for descriptor in descriptors:
            os.close(descriptor)
        watch = os.pidfd_open(pid)
        self._children[watch] = pid
        self._poll.register(watch, select.POLLIN)
        self._tell({"id": message["id"], "pid": pid})
        return False

    def _reap(self, watch: int) -> None:
        pid = self._children.pop(watch)
        self._poll.unregister(watch)
        os.close(watch)
        _, status = os.waitpid(pid, 0)
        self._tell({"pid": pid, "code": os.waitstatus_to_exitcode(status)})

    def _tell(self, message: dict[str, object]) -> None:
        self._control.send(json.dumps(message).encode())


def main() -> None:
    began = time.perf_counter()
    descriptor, supervisor = int(sys.argv[1]), int(sys.argv[2])
    if os.getppid() != supervisor:
        raise SystemExit("the supervisor is gone")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=descriptor)
    try:
        warm()
    except Exception as error:
        control.send(json.dumps({"broken": f"{type(error).__name__}: {error}"}).encode())
        raise
    control.send(json.dumps({"warm": time.perf_counter() - began}).encode())
    Zygote(control).serve()


if __name__ == "__main__":
    main()
