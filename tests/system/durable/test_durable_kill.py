"""Processes that are killed and frozen in the middle of their work: everything ends, nothing completed is repeated."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

SCRIPT = Path(__file__).with_name("durable_replica.py")
Spawn = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Spawn]:
    processes: list[subprocess.Popen[str]] = []

    def spawn_one(mode: str, first: int = 0, count: int = 0) -> subprocess.Popen[str]:
        command = [sys.executable, str(SCRIPT), str(tmp_path), mode, str(first), str(count)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready")
        return process

    yield spawn_one
    for process in processes:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def until(what: str, condition: Callable[[], object], at_most_s: float = 40) -> None:
    give_up = time.monotonic() + at_most_s
    while not condition():
        assert time.monotonic() < give_up, f"waited {at_most_s} s for: {what}"
        time.sleep(0.005)


def lines(folder: Path) -> list[str]:
    path = folder / "outside.log"
    whole = path.read_text() if path.exists() else ""
    return whole[: whole.rfind("\n") + 1].splitlines()


def rows(folder: Path, sql: str) -> list[tuple]:  # type: ignore[type-arg]
    connection = sqlite3.connect(folder / "service.db", timeout=10)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def all_ended(folder: Path, count: int) -> bool:
    return rows(folder, "SELECT count(*) FROM hanse_saga WHERE state IN (3, 4)") == [(count,)]


def check_effects(folder: Path, workers: dict[int, int], count: int) -> None:
    """What the outside world saw against what was written down.

    Args:
        workers: process id by worker id, of those that never lost their lease.
    """
    assert rows(folder, "SELECT state, count(*) FROM hanse_saga GROUP BY state ORDER BY state") == [
        (3, count - count // 5),
        (4, count // 5),
    ]
    seen = Counter(tuple(line.split()) for line in lines(folder))
    by_step: dict[tuple[str, str, str], Counter[int]] = {}
    for (do, saga, step, pid), times in seen.items():
        by_step.setdefault((do, saga, step), Counter())[int(pid)] += times
    marks = rows(folder, "SELECT saga_id, name, kind, owner FROM hanse_saga_step WHERE name <> 'confirm'")
    for saga, step, kind, owner in marks:
        did = by_step[("undo" if kind == 1 else "do", saga, step)]
        if owner in workers:
            assert did[workers[owner]] == 1, f"{saga} {step} ran more than once where it was completed: {did}"
    confirmed = Counter(number for (number,) in rows(folder, "SELECT number FROM confirmed"))
    assert confirmed == Counter(range(count)), "a local step takes effect exactly once"


def test_sagas_of_a_killed_process_are_finished_by_another(spawn: Spawn, tmp_path: Path) -> None:
    count = 200
    helper = spawn("help")
    helper_id = rows(tmp_path, "SELECT max(id) FROM hanse_worker")[0][0]
    victim = spawn("start", 0, count)
    victim_id = rows(tmp_path, "SELECT max(id) FROM hanse_worker")[0][0]
    until("all are started", lambda: rows(tmp_path, "SELECT count(*) FROM hanse_saga") == [(count,)])
    kill(victim)
    killed_at = time.monotonic()
    live = rows(tmp_path, "SELECT count(*) FROM hanse_saga WHERE state < 3")[0][0]
    assert live > 0, "the kill came too late to prove anything"
    before = rows(tmp_path, "SELECT saga_id, step, kind, at FROM hanse_saga_step ORDER BY 1, 2, 3")
    until("another process adopts them", lambda: rows(tmp_path, "SELECT max(fence) FROM hanse_saga") == [(2,)])
    assert time.monotonic() - killed_at < 1.0 + 0.25 + 1.5, "one lease, one scan, and some slack for a busy machine"
    until("all end", lambda: all_ended(tmp_path, count))
    check_effects(tmp_path, {victim_id: victim.pid, helper_id: helper.pid}, count)
    after = set(rows(tmp_path, "SELECT saga_id, step, kind, at FROM hanse_saga_step"))
    assert set(before) <= after, "what was written stays as it was"
    repeated = [
        line for line, times in Counter(line.rsplit(" ", 1)[0] for line in lines(tmp_path)).items() if times > 1
    ]
    assert len(repeated) <= live, "at most the one step under way is begun again"


def test_everything_ends_whoever_is_killed_and_how_often(spawn: Spawn, tmp_path: Path) -> None:
    count, workers = 250, {}
    replicas = []
    for batch in range(5):
        replica = spawn("start", batch * 50, 50)
        workers[rows(tmp_path, "SELECT max(id) FROM hanse_worker")[0][0]] = replica.pid
        replicas.append(replica)
        started = (batch + 1) * 50
        until("the batch is started", lambda n=started: rows(tmp_path, "SELECT count(*) FROM hanse_saga") >= [(n,)])
        if batch % 2 == 0:
            kill(replicas.pop(0))
    until("all end", lambda: all_ended(tmp_path, count))
    check_effects(tmp_path, workers, count)


def test_a_frozen_process_writes_nothing_more_and_comes_back_as_another(spawn: Spawn, tmp_path: Path) -> None:
    count = 200
    helper = spawn("help")
    helper_id = rows(tmp_path, "SELECT max(id) FROM hanse_worker")[0][0]
    zombie = spawn("start", 0, count)
    zombie_id = rows(tmp_path, "SELECT max(id) FROM hanse_worker")[0][0]
    until("all are started", lambda: rows(tmp_path, "SELECT count(*) FROM hanse_saga") == [(count,)])
    freeze_outside_a_transaction(zombie, tmp_path)
    before = rows(tmp_path, f"SELECT * FROM hanse_saga_step WHERE owner = {zombie_id} ORDER BY saga_id, step, kind")
    until("another process adopts them", lambda: rows(tmp_path, "SELECT max(fence) FROM hanse_saga") == [(2,)])
    zombie.send_signal(signal.SIGCONT)  # in the middle of its steps, while the other one runs the same
    until("all end", lambda: all_ended(tmp_path, count))
    until("it registers anew", lambda: rows(tmp_path, "SELECT max(id) FROM hanse_worker")[0][0] > zombie_id)
    after = rows(tmp_path, f"SELECT * FROM hanse_saga_step WHERE owner = {zombie_id} ORDER BY saga_id, step, kind")
    assert before == after
    check_effects(tmp_path, {helper_id: helper.pid}, count)
    kill(helper)
    other = spawn("start", count, 20)
    kill(other)
    until(
        "the one that was frozen works again", lambda: rows(tmp_path, "SELECT * FROM hanse_saga WHERE state < 3") == []
    )


def freeze_outside_a_transaction(process: subprocess.Popen[str], folder: Path) -> None:
    """Stop the process at a moment when it does not hold the file's lock, which it would keep while it is frozen."""
    while True:
        process.send_signal(signal.SIGSTOP)
        connection = sqlite3.connect(folder / "service.db", timeout=0.3, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
            return
        except sqlite3.OperationalError:
            process.send_signal(signal.SIGCONT)
        finally:
            connection.close()


def test_the_outbox_keeps_its_order_and_loses_nothing_over_kills(spawn: Spawn, tmp_path: Path) -> None:
    total, added = 1500, 0
    for round_ in range(6):
        replica = spawn("publish", added, total - added)
        if round_ < 5:
            goal = added + 100 + 37 * round_
            until(
                "some are published", lambda n=goal: lines(tmp_path) and int(lines(tmp_path)[-1]) >= min(n, total - 1)
            )
            kill(replica)
            added = rows(tmp_path, "SELECT coalesce(max(number) + 1, 0) FROM added")[0][0]
            assert rows(tmp_path, "SELECT count(*) FROM added") == [(added,)]
    until("the outbox is empty", lambda: rows(tmp_path, "SELECT count(*) FROM added") == [(total,)])
    until("the outbox is empty", lambda: rows(tmp_path, "SELECT count(*) FROM hanse_outbox") == [(0,)])
    published = [int(line) for line in lines(tmp_path)]
    assert list(dict.fromkeys(published)) == list(range(total)), "in order of commit, none missing"
    assert os.path.getsize(tmp_path / "outside.log") > 0
