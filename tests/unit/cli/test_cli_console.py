"""What `hanse up` shows: a progress line that fits, and JSON lines alone where nobody looks."""

import json
import os

import pytest

from hanse.cli.console import Console, progress
from hanse.core import Env
from hanse.system.record import Record

PARTS = {"nats": "ready", "envoy": "", "users": "ready", "orders": "failed"}


def test_progress_names_every_part() -> None:
    assert progress(PARTS, 80, colour=False) == "starting nats ✓ envoy … users ✓ orders ✗"


@pytest.mark.parametrize("columns", [5, 30, 38, 45, 60, 200])
def test_progress_fits(columns: int) -> None:
    parts = {f"service-{number}": "ready" if number % 2 else "" for number in range(12)}
    line = progress(parts, columns, colour=False)
    assert len(line) <= max(columns, len("starting, 6 of 12 are ready,"))


def test_a_narrow_terminal_shows_who_is_awaited() -> None:
    assert progress(PARTS, 38, colour=False) == "starting, 2 of 4 are ready, envoy …"


async def test_records_away_from_a_terminal_are_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    env = Env.build("store")
    console = Console(env, ["orders"], as_json=False)
    console.began("nats")
    console.came("nats", "ready")
    console.hear(Record("orders", b"plain", "2026-11-21T06:25:26.758Z"))
    console.hear(Record("orders", b'{"event":"x"}', "2026-11-21T06:25:26.758Z"))
    await console.finish()
    out = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["event"] for line in out] == ["plain", "x"]
    await env.scope.close()


async def test_a_reader_who_has_gone_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        env = Env.build("store")
        console = Console(env, ["orders"], as_json=False)
        for _ in range(2):
            console.hear(Record("orders", b"plain", ""))
        await console.finish()
        stdout.flush()  # as the interpreter does at its end
    await env.scope.close()
