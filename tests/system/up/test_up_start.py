"""From the command to the table, and from Ctrl-C to nothing left."""

import json
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from up_store import HANSE, Up, alive, end_all, eventually, fetch, hanse, write_store

pytestmark = pytest.mark.system


def test_up_says_what_runs_and_the_gateway_reaches_it(store: Up) -> None:
    store.start()
    table = (store.output / "err").read_text()
    lines = table.splitlines()
    assert lines[0].startswith("  store is up in ")
    assert lines[1].split() == ["SERVICE", "REPLICAS", "STATE", "START", "MEMORY", "ADDRESS"]
    assert [line.split()[:3] for line in lines[2:4]] == [["orders", "1", "ready"], ["users", "1", "ready"]]
    assert store.ps()["gateway"] in lines[0]
    for name in ("orders", "users"):
        status, body = store.get(f"/api/{name}/word")
        assert (status, body) == (200, {"word": "one", "pid": store.pids(name)[0]})
        address = store.service(name)["replicas"][0]["address"]
        assert fetch(f"http://{address}/health/ready")[0] == 200
    assert "\x1b[" not in store.text()


def test_away_from_a_terminal_stdout_is_json_lines_alone(store: Up) -> None:
    store.start()
    store.end()
    records = [json.loads(line) for line in (store.output / "out").read_text().splitlines()]
    assert {"orders", "users", "hanse"} <= {record["service"] for record in records}
    assert [record["gateway"] for record in records if record["event"] == "up"] != []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing_behind(store: Up, number: signal.Signals) -> None:
    store.start()
    family, ports = store.family(), [store.ps()["gateway"].rpartition(":")[2]]
    ports += [one["replicas"][0]["address"].rpartition(":")[2] for one in store.ps()["services"]]
    ports.append(store.engine("nats")["address"].rpartition(":")[2])
    assert len(family) >= 6  # supervisor, nats, envoy, the services and their parent
    assert store.end(number) == 0
    assert alive(family) == []
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", int(port)))
    left = {path.name for path in (store.folder / ".hanse").iterdir()}
    assert not left & {"lock", "control.sock", "state.json"}
    assert not list((store.folder / ".hanse").rglob("*.sock"))


def test_ctrl_c_while_it_starts_leaves_nothing_either(store: Up) -> None:
    store.launch()
    assert store.process is not None
    state = store.folder / ".hanse"
    eventually(lambda: (state / "nats" / "server.conf").exists(), "nats is being started")
    import psutil

    family = [psutil.Process(store.process.pid), *psutil.Process(store.process.pid).children(recursive=True)]
    assert store.end(signal.SIGINT) == 0
    assert alive(family) == []
    assert not (state / "lock").exists()


def test_a_second_up_says_that_it_is_up(store: Up) -> None:
    store.start()
    for options in ([], ["--detach"]):
        second = hanse("up", str(store.path), *options)
        assert second.returncode == 1
        assert f"store is already up (pid {store.ps()['pid']})" in second.stderr
    assert store.get("/api/orders/word")[0] == 200


def test_a_taken_port_is_named_and_another_chosen(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        up = Up(write_store(tmp_path, f"port={taken}"), tmp_path / "output")
        try:
            up.start()
            assert f"gateway: port {taken} is taken by " in up.text()
            assert up.ps()["gateway"] != f"http://127.0.0.1:{taken}"
            assert up.get("/api/users/word")[0] == 200
            [note] = up.ps()["notes"]
            assert f"port {taken} is taken by " in note
        finally:
            end_all(up)


def test_a_detached_up_names_a_taken_port_too(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        folder = write_store(tmp_path, f"port={taken}")
        try:
            assert f"gateway: port {taken} is taken by " in hanse("up", str(folder), "--detach").stdout
        finally:
            hanse("down", str(folder))


def test_a_fixed_port_that_is_taken_starts_nothing(tmp_path: Path) -> None:
    import os

    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        folder = write_store(tmp_path, f"port={taken}, fixed=True")
        done = hanse("up", str(folder))
        assert done.returncode == 1
        assert f"port {taken} is taken by " in done.stderr
        assert f"(pid {os.getpid()}), and it is fixed" in done.stderr
        assert done.stderr.count("\n") == 1
        assert not (folder / ".hanse" / "lock").exists()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (('"/api/users", users', '"/api/users", "user"'), "which does not exist"),
        (("store.users.app", "store.payments.app"), "there is no module store.payments.app"),
        (('users.app:service")', 'users.app:service", port=8080)'), "port 8080 is already that of service"),
    ],
)
def test_an_invalid_topology_starts_nothing(store: Up, spoil: tuple[str, str], says: str) -> None:
    file = store.folder / "system.py"
    file.write_text(file.read_text().replace(*spoil))
    done = hanse("up", str(store.path))
    assert done.returncode == 2
    assert says in done.stderr
    assert "system.py:" in done.stderr
    assert not (store.folder / ".hanse").exists()


def test_a_single_file_is_a_system(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    file = tmp_path / "greeter.py"
    file.write_text(
        'from hanse import Service\n\nservice = Service("greeter")\n\n\n@service.get("/hello/{name}")\n'
        'async def hello(name: str) -> dict[str, str]:\n    return {"message": f"Hello, {name}"}\n'
    )
    up = Up(file, tmp_path / "output")
    try:
        up.start()
        assert up.get("/hello/ada") == (200, {"message": "Hello, ada"})
        assert (tmp_path / ".hanse" / "greeter" / "lock").exists()
    finally:
        end_all(up)


def test_starting_over_forgets_data_and_keys(store: Up) -> None:
    store.start()
    state = store.folder / ".hanse"
    key = (state / "keys" / "system.jwk").read_text()
    (state / "data" / "orders.db").write_bytes(b"old")
    store.end()
    store.start("--clean")
    assert (state / "keys" / "system.jwk").read_text() != key
    assert not (state / "data" / "orders.db").exists() or (state / "data" / "orders.db").read_bytes() != b"old"


def test_keys_outlive_a_restart(store: Up) -> None:
    store.start()
    key = (store.folder / ".hanse" / "keys" / "system.jwk").read_text()
    store.end()
    store.start()
    assert (store.folder / ".hanse" / "keys" / "system.jwk").read_text() == key


def test_help_takes_less_than_50_ms_of_the_processor() -> None:
    import resource

    took = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*HANSE, "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(took) < 0.05
