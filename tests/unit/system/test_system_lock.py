"""The lock of a system: one holder, and no trace of it afterwards."""

from pathlib import Path

import pytest

from hanse.system.lock import AlreadyRunning, SystemLock


def test_the_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    import os

    first, second = SystemLock(tmp_path / "lock"), SystemLock(tmp_path / "lock")
    first.acquire()
    with pytest.raises(AlreadyRunning) as caught:
        second.acquire()
    assert caught.value.details["pid"] == str(os.getpid())
    assert second.holder() == os.getpid()
    first.release()
    assert second.holder() is None
    second.acquire()
    second.release()


def test_release_removes_the_file_and_may_be_repeated(tmp_path: Path) -> None:
    lock = SystemLock(tmp_path / "lock")
    lock.release()
    lock.acquire()
    lock.release()
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_a_file_left_by_a_killed_holder_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("4711\n")
    lock = SystemLock(tmp_path / "lock")
    assert lock.holder() is None
    lock.acquire()
    lock.release()


def test_asking_for_the_holder_takes_nothing(tmp_path: Path) -> None:
    lock, asking = SystemLock(tmp_path / "lock"), SystemLock(tmp_path / "lock")
    assert asking.holder() is None
    assert list(tmp_path.iterdir()) == []
    lock.acquire()
    asking.holder()
    assert asking.holder() is not None
    lock.release()
