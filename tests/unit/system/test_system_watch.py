"""Which services an edit concerns."""

from pathlib import Path

import pytest

from hanse.system import System, load
from hanse.system.watch import Sources


@pytest.fixture
def store(tmp_path: Path) -> System:
    folder = tmp_path / "store"
    for name in ("orders", "users"):
        (folder / name).mkdir(parents=True)
        (folder / name / "app.py").touch()
    (folder / ".hanse").mkdir()
    (folder / "__pycache__").mkdir()
    system = System("store", file=folder / "system.py")
    system.service("store.orders.app")
    system.service("store.users.app")
    return system


def concerned(system: System, *names: str) -> tuple[str, ...]:
    return Sources(system).edit(system.folder / name for name in names).services


def test_a_file_in_a_service_concerns_that_service(store: System) -> None:
    assert concerned(store, "orders/app.py") == ("orders",)
    assert concerned(store, "orders/deep/er.py", "orders/migrations/0001.sql") == ("orders",)


def test_a_shared_file_concerns_all(store: System) -> None:
    assert concerned(store, "money.py") == ("orders", "users")


def test_two_services_at_once(store: System) -> None:
    assert concerned(store, "users/app.py", "orders/api.py") == ("orders", "users")


@pytest.mark.parametrize(
    "name", ["notes.md", ".hanse/data/x.py", "orders/__pycache__/app.py", "orders/.swp.py", "x.db"]
)
def test_other_files_concern_nobody(store: System, name: str) -> None:
    edit = Sources(store).edit([store.folder / name])
    assert (edit.files, edit.services) == ((), ())


def test_the_topology_itself_loads_nothing_again(store: System) -> None:
    edit = Sources(store).edit([store.folder / "system.py"])
    assert (edit.services, edit.topology) == ((), True)


def test_what_is_watched_leaves_out_the_state(store: System) -> None:
    below, alone = Sources(store).folders()
    assert below == [store.folder / "orders", store.folder / "users"]
    assert alone == [store.folder]


def test_a_single_file_is_loaded_again_with_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "greeter.py").write_text('from hanse import Service\nservice = Service("greeter")\n')
    (tmp_path / "elsewhere").mkdir()
    system = load(tmp_path / "greeter.py")
    assert Sources(system).folders() == ([], [tmp_path])
    assert concerned(system, "greeter.py") == ("greeter",)
    assert concerned(system, "words.py") == ("greeter",)
