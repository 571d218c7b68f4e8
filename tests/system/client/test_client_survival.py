"""One of three instances is killed under load: no idempotent call fails. Real processes, kill -9."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter

from tests.system.client.client_laboratory import Laboratory

from hanse.registry import Instance

SERVER = """
import asyncio, sys
from hanse.testing.upstream import Answer, Upstream

async def main():
    async with Upstream(sys.argv[1]) as upstream:
        upstream.on("/x", Answer(chunk_bytes=1, pause_s=0.001))
        print(upstream.port, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def start(id: str) -> tuple[Process, Instance]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVER, id, stdout=PIPE)
    assert process.stdout is not None
    port = int(await process.stdout.readline())
    return process, Instance("stock", id, "127.0.0.1", port)


async def test_killing_one_of_three_under_load_fails_no_idempotent_call(laboratory: Laboratory) -> None:
    started = await asyncio.gather(*(start(id) for id in "abc"))
    victim, victims_place = started[0]
    try:
        for _, instance in started:
            await laboratory.registry.register(instance)
        client = await laboratory.client()
        failures: list[Exception] = []
        served: Counter[str] = Counter()
        ended = asyncio.Event()

        async def load(worker: int) -> None:
            number = 0
            while not ended.is_set():
                number += 1
                key = f"{worker}-{number}" if number % 2 else None
                try:
                    answer = await client.request("POST" if key else "GET", "/x", idempotency_key=key)
                    answer.raise_for_status()
                    served[answer.instance] += 1
                except Exception as error:
                    failures.append(error)

        async with asyncio.TaskGroup() as group:
            for worker in range(32):
                group.create_task(load(worker))
            while min((served[id] for id in "abc"), default=0) < 100:
                await asyncio.sleep(0.01)
            victim.kill()
            await victim.wait()
            gone, others = served["a"], served["b"] + served["c"]
            while served["b"] + served["c"] < others + 1000:
                await asyncio.sleep(0.01)
            await laboratory.registry.deregister("stock", victims_place.id)
            ended.set()
        assert failures == []
        assert served["a"] <= gone + 32
        assert client.snapshot().retried > 0
    finally:
        for process, _ in started:
            if process.returncode is None:
                process.kill()
                await process.wait()
