"""`Process`: a child of the supervisor that can't outlive it."""

import asyncio
import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Sequence

_PR_SET_PDEATHSIG = 1


def tie_to_parent(parent: int) -> Callable[[], None]:
    """A function for a fresh child: the kernel kills it when the parent dies, however that happens (prctl(2)).

    Everything is looked up before the fork, so that the child only makes two system calls. The signal belongs to the
    parent's thread: fork from a thread that lives as long as the process, the main one.
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return tie


class Process:
    """An external program, in a session of its own so that a terminal's Ctrl-C reaches the supervisor alone.

    Args:
        argv: the program and its arguments.
        output: descriptor that gets stdout and stderr.
        inherit: further descriptors it keeps, under the same numbers.
    """

    def __init__(self, argv: Sequence[str], *, output: int, inherit: Sequence[int] = ()) -> None:
        self._argv = list(argv)
        self._output = output
        self._inherit = tuple(inherit)
        self._running: subprocess.Popen[bytes] | None = None
        self._exited = asyncio.Event()

    @property
    def pid(self) -> int:
        return self._running.pid if self._running else 0

    @property
    def code(self) -> int | None:
        """Its exit code (negative: the signal that ended it); None while it runs."""
        return self._running.returncode if self._running else None

    def start(self) -> None:
        """Run it. Raises OSError when it can't be executed."""
        self._running = subprocess.Popen(
            self._argv,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            pass_fds=self._inherit,
            start_new_session=True,
            preexec_fn=tie_to_parent(os.getpid()),
        )
        watch = os.pidfd_open(self._running.pid)
        asyncio.get_running_loop().add_reader(watch, self._reap, watch)

    async def wait(self) -> int:
        """Until it has ended; its exit code."""
        await self._exited.wait()
        return self.code or 0

    async def stop(self, grace_s: float) -> None:
        """Ask it to end, and kill it after `grace_s`. Idempotent."""
        if self._running is None or self._exited.is_set():
            return
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_s):
                await self.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        if self._running is not None and not self._exited.is_set():
            self._running.send_signal(number)

    def _reap(self, watch: int) -> None:
        asyncio.get_running_loop().remove_reader(watch)
        os.close(watch)
        if self._running is not None:
            self._running.wait()
        self._exited.set()


def ending(code: int | None) -> str:
    """How a process ended, in words: `exit code 1`, `SIGKILL`."""
    if code is None or code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
