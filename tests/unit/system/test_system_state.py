"""The state folder: where things lie, and what starting over forgets."""

import os
from pathlib import Path

from hanse.system.state import StateFolder


def test_the_socket_lies_in_the_folder_when_its_path_is_short(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / ".hanse")
    assert state.socket == tmp_path / ".hanse" / "control.sock"


def test_a_long_path_gets_a_short_socket_that_is_always_the_same(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 60) / ("y" * 60) / ".hanse"
    state = StateFolder(deep)
    assert len(os.fsencode(state.socket)) < 100
    assert state.socket == StateFolder(deep).socket
    assert state.socket != StateFolder(deep.parent).socket
    state.prepare()
    assert state.socket.parent.stat().st_mode & 0o077 == 0


def test_starting_over_forgets_data_and_keeps_the_lock(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / ".hanse")
    state.prepare()
    state.lock.touch()
    (state.data / "orders.db").touch()
    (state.keys / "system.pem").touch()
    state.write({"pid": 1})
    state.clean()
    assert [path.name for path in state.path.iterdir()] == ["lock"]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / ".hanse")
    state.prepare()
    assert state.read() == {}
    state.write({"pid": 1})
    assert state.read() == {"pid": 1}
    state.release()
    assert state.read() == {}


def test_each_service_has_its_own_database(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    assert state.database("orders") == f"sqlite:///{tmp_path}/data/orders.db"
