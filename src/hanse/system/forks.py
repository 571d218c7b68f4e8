"""`ForkServer`: the supervisor's end of the zygote."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from hanse.core.errors import Unavailable
from hanse.system.child import Order
from hanse.system.process import Process

_PACKET_BYTES = 1 << 16
_GRACE_S = 2.0


class Fork:
    """A forked child: its pid, and how it ended."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.code: int | None = None
        """Exit code, negative for the signal that ended it; None while it runs."""
        self.exited = asyncio.Event()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        if not self.exited.is_set():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def end(self, code: int) -> None:
        """It has ended: told by the zygote."""
        self.code = code
        self.exited.set()


class ForkServer:
    """Starts the zygote and has it fork; starts another when it dies, whose death took all services with it.

    Args:
        output: descriptor for what the zygote itself has to say.
    """

    def __init__(self, output: int) -> None:
        self._output = output
        self._process: Process | None = None
        self._control: socket.socket | None = None
        self._warm: asyncio.Future[float] | None = None
        self._reason = "see hanse.log"
        self._asked: dict[int, asyncio.Future[Fork]] = {}
        self._living: dict[int, Fork] = {}
        self._number = 0
        self._stopping = False

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Begin to warm a zygote; `fork` waits for it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        argv = [sys.executable, "-m", "hanse.system.zygote", str(theirs.fileno()), str(os.getpid())]
        with theirs:
            self._process = Process(argv, output=self._output, inherit=[theirs.fileno()])
            self._process.start()
        ours.setblocking(False)
        self._control = ours
        loop = asyncio.get_running_loop()
        self._warm = loop.create_future()
        loop.add_reader(ours.fileno(), self._read)

    async def warmed(self) -> None:
        """Wait until the zygote can fork.

        Raises:
            Unavailable: it could not import what services need; the message says why.
        """
        if self._warm is not None:
            await asyncio.shield(self._warm)

    async def fork(self, order: Order, descriptors: Sequence[int]) -> Fork:
        """Have a child forked that gets `descriptors` (stdout, stderr, status, listener).

        Raises:
            Unavailable: the zygote died; another is being started, so try again.
        """
        if self._warm is None or self._control is None:
            raise Unavailable("the parent of the services does not run")
        await asyncio.shield(self._warm)
        self._number += 1
        answer: asyncio.Future[Fork] = asyncio.get_running_loop().create_future()
        self._asked[self._number] = answer
        packet = json.dumps({"id": self._number, "child": asdict(order)}).encode()
        try:
            socket.send_fds(self._control, [packet], list(descriptors))
        except OSError as error:
            raise Unavailable("the parent of the services does not answer") from error
        return await answer

    async def stop(self) -> None:
        """End the zygote. Children that still live are killed by the kernel. Idempotent."""
        self._stopping = True
        self._hang_up()
        if self._process is not None:
            await self._process.stop(_GRACE_S)

    def _read(self) -> None:
        while self._control is not None:
            try:
                packet = self._control.recv(_PACKET_BYTES)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self._died()
                return
            self._take(json.loads(packet))

    def _take(self, message: dict[str, Any]) -> None:
        if "broken" in message:
            self._reason = message["broken"]
            return
        if "warm" in message and self._warm is not None:
            self._warm.set_result(message["warm"])
            return
        pid = int(message["pid"])
        if "code" in message:
            if (gone := self._living.pop(pid, None)) is not None:
                gone.end(int(message["code"]))
        elif (asked := self._asked.pop(int(message["id"]), None)) is not None:
            self._living[pid] = Fork(pid)  # here and not in `fork`: news of its end may be the next packet
            if asked.done():
                self._living[pid].signal(signal.SIGKILL)
            else:
                asked.set_result(self._living[pid])

    def _died(self) -> None:
        self._hang_up()
        gone, self._living = list(self._living.values()), {}
        if not self._stopping and self._warm is not None:
            if self._warm.done():
                self.start()
            else:
                self._warm.set_exception(Unavailable(f"the parent of the services could not start: {self._reason}"))
        for fork in gone:
            fork.end(-signal.SIGKILL)

    def _hang_up(self) -> None:
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            self._control.close()
            self._control = None
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(Unavailable("the parent of the services died"))
        self._asked.clear()
