"""Several processes on one database file: nothing is lost, nothing is done twice, nobody stands still."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPLICA = Path(__file__).with_name("replica.py")

MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None


def upgrade() -> None:
    op.create_table("rows", sa.Column("id", sa.String, primary_key=True))
    op.execute("INSERT INTO rows VALUES ('made once')")
"""


class Replica:
    """A started replica, waiting for `go`."""

    def __init__(self, database: Path, tag: str, verb: str, argument: object) -> None:
        command = [sys.executable, str(REPLICA), str(database), tag, verb, str(argument)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.line() == "ready"

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def rest(self) -> list[str]:
        """All that it says until it ends."""
        assert self.process.stdout is not None
        lines = self.process.stdout.read().split("\n")
        self.process.wait(30)
        return [line for line in lines if line]

    def close(self) -> None:
        self.process.kill()
        self.process.wait(10)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


class Replicas:
    def __init__(self) -> None:
        self.started: list[Replica] = []

    def start(self, *arguments: object) -> Replica:
        database, tag, verb, argument = arguments
        self.started.append(Replica(Path(str(database)), str(tag), str(verb), argument))
        return self.started[-1]


@pytest.fixture
def replicas() -> Iterator[Replicas]:
    replicas = Replicas()
    yield replicas
    for replica in replicas.started:
        replica.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "shared.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE rows (id TEXT PRIMARY KEY, tag TEXT NOT NULL)")
    connection.execute("CREATE TABLE counter (value INTEGER NOT NULL)")
    connection.execute("INSERT INTO counter VALUES (0)")
    connection.commit()
    connection.close()
    return path


def rows(path: Path, query: str = "SELECT id FROM rows") -> list[str]:
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [row[0] for row in connection.execute(query)]
    finally:
        connection.close()


def test_writers_in_two_processes_lose_nothing(replicas: Replicas, path: Path) -> None:
    two = [replicas.start(path, tag, "write", 300) for tag in ("a", "b")]
    for replica in two:
        replica.go()
    said = [line for replica in two for line in replica.rest() if line != "done"]
    assert [replica.process.returncode for replica in two] == [0, 0]
    assert len(said) == 600
    assert sorted(said) == sorted(rows(path))


def test_reading_and_writing_in_one_transaction_is_serial_across_processes(replicas: Replicas, path: Path) -> None:
    two = [replicas.start(path, tag, "increment", 150) for tag in ("a", "b")]
    for replica in two:
        replica.go()
    assert [replica.rest() for replica in two] == [["done"], ["done"]]
    assert rows(path, "SELECT value FROM counter") == [300]


@pytest.mark.parametrize("acknowledged", [1, 60, 400])
def test_a_killed_process_loses_no_acknowledged_row(replicas: Replicas, path: Path, acknowledged: int) -> None:
    writer = replicas.start(path, "a", "write", 1_000_000)
    other = replicas.start(path, "b", "write", 100)
    for replica in (writer, other):
        replica.go()
    said = [writer.line() for _ in range(acknowledged)]
    writer.process.send_signal(signal.SIGKILL)
    said += [line for line in writer.rest() if line.startswith("a-")]
    assert writer.process.returncode == -signal.SIGKILL
    assert other.rest()[-1] == "done", "the survivor goes on"
    found = set(rows(path))
    assert set(said) <= found
    assert {f"b-{number}" for number in range(100)} <= found


def test_a_restarted_process_goes_on_after_a_kill(replicas: Replicas, path: Path) -> None:
    first = replicas.start(path, "a", "write", 1_000_000)
    first.go()
    first.line()
    first.process.send_signal(signal.SIGKILL)
    first.process.wait(10)
    second = replicas.start(path, "b", "write", 20)
    second.go()
    assert second.rest()[-1] == "done"


def test_schemas_are_applied_once_by_racing_processes(replicas: Replicas, tmp_path: Path) -> None:
    for folder, name, text in (
        ("migrations", "0001_first.py", MIGRATION),
        ("sql", "0001_own.sqlite.sql", "CREATE TABLE hanse_own (x); INSERT INTO hanse_own VALUES (1);"),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(text)
    path = tmp_path / "new.db"
    four = [replicas.start(path, tag, "migrate", tmp_path) for tag in "abcd"]
    for replica in four:
        replica.go()
    said = [replica.rest() for replica in four]
    assert [lines[-1] for lines in said] == ["done"] * 4
    assert sorted(lines[0] for lines in said) == ["applied ['own']", *["applied []"] * 3]
    assert rows(path) == ["made once"]
    assert rows(path, "SELECT x FROM hanse_own") == [1]
