"""The client across a fork, and with a registry on a real NATS server."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from hanse.client import ServiceClient
from hanse.core import Env
from hanse.core.errors import Unavailable
from hanse.registry import from_url
from hanse.testing.nats_server import NatsServer
from hanse.testing.upstream import Upstream

FORK = """
import asyncio, os, signal, sys
from hanse.client import ServiceClient
from hanse.core import Env
from hanse.registry import Instance
from hanse.registry.memory import MemoryBoard, MemoryRegistry

env = Env.build("parent")
registry = MemoryRegistry(env, board=MemoryBoard())
client = ServiceClient(env, "stock", registry)

async def call():
    await registry.start()
    await registry.register(Instance("stock", "a", "127.0.0.1", int(sys.argv[1])))
    await client.start()
    print("child", await client.get("/x"), flush=True)
    await client.stop()
    await registry.stop()

if os.fork() == 0:
    signal.alarm(20)  # a child that hangs must not outlive the test
    asyncio.run(call())
    os._exit(0)
os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


async def test_a_client_built_before_a_fork_works_in_the_child() -> None:
    async with Upstream() as upstream:
        env = Env.build("test")

        def run() -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-c", FORK, str(upstream.port)]
            return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

        done = await env.scope.blocking(run)
        await env.scope.close()
    assert (done.returncode, done.stdout) == (0, "child {}\n"), done.stderr


@pytest.fixture
def server(tmp_path: Path) -> NatsServer:
    return NatsServer(tmp_path / "nats")


async def test_calls_go_on_while_the_registrys_server_is_dead(server: NatsServer) -> None:
    await server.start()
    env = Env.build("test")
    registry = from_url(env, server.url)
    client = ServiceClient(env, "stock", registry)
    try:
        async with Upstream("a") as upstream:
            await registry.start()
            await client.start()
            with pytest.raises(Unavailable, match="no instance"):
                await client.get("/x", timeout=0.2)
            await registry.register(upstream.instance("stock"))
            async with asyncio.timeout(10):
                while not client.snapshot().instances:
                    await asyncio.sleep(0.005)
            assert await client.get("/x") == {}
            server.kill()
            for _ in range(20):
                assert await client.post("/x") == {}
    finally:
        await client.stop()
        await registry.stop()
        await env.scope.close()
        server.stop()
