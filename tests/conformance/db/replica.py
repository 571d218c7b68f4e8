"""A replica in a process of its own: writes to a database file that others share, and says on stdout what it did.

replica.py DATABASE TAG write COUNT      insert COUNT rows, one transaction each, 8 at once, and print each id
replica.py DATABASE TAG increment COUNT  add 1 to a counter COUNT times, each a read and a write
replica.py DATABASE TAG migrate FOLDER   start with migrations and with the SQL files of FOLDER/sql
"""

import asyncio
import sys
from pathlib import Path

from sqlalchemy import text

from hanse.core import Env
from hanse.db import Database

ROW = "INSERT INTO rows (id, tag) VALUES (:id, :tag)"


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def write(database: Database, tag: str, count: int) -> None:
    numbers = iter(range(count))

    async def worker(use_raw: bool) -> None:
        for number in numbers:
            key = f"{tag}-{number}"
            if use_raw:
                async with database.raw() as connection:
                    connection.execute(ROW, {"id": key, "tag": tag})
            else:
                async with database.transaction() as session:
                    await session.execute(text(ROW), {"id": key, "tag": tag})
            say(key)

    await asyncio.gather(*(worker(number % 2 == 0) for number in range(8)))


async def increment(database: Database, count: int) -> None:
    for _ in range(count):
        async with database.transaction() as session:
            value = await session.scalar(text("SELECT value FROM counter"))
            await asyncio.sleep(0)
            await session.execute(text("UPDATE counter SET value = :value"), {"value": value + 1})


async def main(path: str, tag: str, verb: str, argument: str) -> None:
    env = Env.build(tag)
    folder = Path(argument) / "migrations" if verb == "migrate" else None
    database = Database(env, f"sqlite:///{path}", migrations=folder)
    say("ready")
    sys.stdin.readline()
    await database.start()
    if verb == "migrate":
        say(f"applied {await database.apply_sql('durable', Path(argument) / 'sql')}")
    elif verb == "increment":
        await increment(database, int(argument))
    else:
        await write(database, tag, int(argument))
    await database.stop()
    await env.scope.close()
    say("done")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5]))
