"""What a running system survives, and what can be asked of it."""

import json
import os
import signal
import subprocess
import threading
from pathlib import Path

import psutil
import pytest
from up_store import HANSE, Up, alive, eventually, fetch, hanse

pytestmark = pytest.mark.system

BROKEN = "def (:"


def edit(store: Up, service: str, old: str, new: str) -> None:
    file = store.folder / service / "app.py"
    file.write_text(file.read_text().replace(old, new))


def test_a_crashed_service_comes_back_alone_on_the_same_port(store: Up) -> None:
    store.start()
    before, others = store.service("orders"), store.pids("users")
    os.kill(before["replicas"][0]["pid"], signal.SIGKILL)
    after = eventually(lambda: (s := store.service("orders"))["restarts"] == 1 and s["state"] == "ready" and s, "back")
    assert after["replicas"][0]["address"] == before["replicas"][0]["address"]
    assert after["replicas"][0]["pid"] != before["replicas"][0]["pid"]
    assert store.pids("users") == others
    assert store.get("/api/orders/word")[0] == 200
    assert "orders-1 ended with SIGKILL; restart in 0.1 s" in store.text()


def test_a_crash_is_not_seen_by_a_caller_who_waits(store: Up) -> None:
    store.start()
    address = store.service("orders")["replicas"][0]["address"]
    os.kill(store.pids("orders")[0], signal.SIGKILL)
    assert fetch(f"http://{address}/word")[0] == 200  # the socket outlived the process


def test_a_crash_loop_backs_off_and_the_gateway_says_so(store: Up) -> None:
    app = store.folder / "orders" / "app.py"
    app.write_text(app.read_text() + "\n\n@service.on_start\nasync def fall() -> None:\n    os._exit(3)\n")
    store.start()
    eventually(lambda: store.service("orders")["restarts"] >= 4, "four restarts")
    pauses = [line.rpartition("restart in ")[2][:5] for line in store.text().splitlines() if "; restart in" in line]
    assert pauses[:4] == ["0.1 s", "0.2 s", "0.4 s", "0.8 s"]
    status, problem = store.get("/api/orders/word")
    assert (status, "orders" in json.dumps(problem)) == (503, True)
    assert store.get("/api/users/word")[0] == 200
    app.write_text(app.read_text().partition("\n\n@service.on_start")[0] + "\n")
    eventually(lambda: store.get("/api/orders/word")[0] == 200, "mended by an edit")


def test_a_crash_loop_after_ready_leaves_the_registry(store: Up) -> None:
    store.start()
    for count in range(1, 5):
        pid = eventually(lambda: (s := store.service("orders"))["state"] == "ready" and s["replicas"][0]["pid"], "pid")
        os.kill(pid, signal.SIGKILL)
        eventually(lambda n=count: store.service("orders")["restarts"] == n, "noticed")
    app = store.folder / "orders" / "app.py"
    pid = eventually(lambda: store.service("orders")["state"] == "ready" and store.pids("orders")[0], "ready again")
    assert app.exists()
    os.kill(pid, signal.SIGKILL)  # the fifth crash: 1.6 s of pause
    eventually(lambda: store.get("/api/orders/word")[0] == 503, "503 while it is absent", 1.4)
    eventually(lambda: store.get("/api/orders/word")[0] == 200, "back by itself")


def test_an_edit_reloads_its_service_only(store: Up) -> None:
    store.start()
    orders, users = store.pids("orders"), store.pids("users")
    edit(store, "orders", '"one"', '"two"')
    eventually(lambda: store.get("/api/orders/word")[1] == {"word": "two", "pid": store.pids("orders")[0]}, "new code")
    assert store.pids("orders") != orders
    assert store.pids("users") == users
    eventually(lambda: not alive([psutil.Process(p) for p in orders if psutil.pid_exists(p)]), "old process gone")
    assert store.get("/api/orders/word")[1]["word"] == "two"


def test_an_edit_of_a_shared_module_reloads_all(store: Up) -> None:
    store.start()
    before = store.pids("orders") + store.pids("users")
    (store.folder / "money.py").write_text("EUR = 'EUR'\n")
    eventually(lambda: not set(before) & set(store.pids("orders") + store.pids("users")), "all are new")


def test_a_broken_edit_is_shown_and_the_former_code_answers_on(store: Up) -> None:
    store.start()
    pids = store.pids("orders")
    edit(store, "orders", 'WORD = "one"', BROKEN)
    failed = eventually(lambda: (s := store.service("orders"))["state"] == "failed" and s, "failed")
    assert failed["reason"] == "store/orders/app.py:6: SyntaxError: invalid syntax"
    assert (store.pids("orders"), store.get("/api/orders/word")[1]["word"]) == (pids, "one")
    edit(store, "orders", BROKEN, 'WORD = "two"')
    eventually(lambda: store.get("/api/orders/word")[1]["word"] == "two", "mended")
    assert store.service("orders")["state"] == "ready"


def test_a_service_that_can_not_be_imported_leaves_the_others_up(store: Up) -> None:
    edit(store, "orders", "import os", "import os\nimport no_such_module")
    store.start()
    orders = store.service("orders")
    assert (orders["state"], orders["restarts"]) == ("failed", 0)
    assert orders["reason"] == "store/orders/app.py:2: ModuleNotFoundError: No module named 'no_such_module'"
    assert "1 of 2 services not ready" in store.text()
    assert store.get("/api/users/word")[0] == 200
    assert store.get("/api/orders/word")[0] == 503
    edit(store, "orders", "import no_such_module", "")
    eventually(lambda: store.get("/api/orders/word")[0] == 200, "tried again at the edit")


def test_killing_the_supervisor_leaves_no_orphan_and_the_next_up_works(store: Up) -> None:
    store.start()
    family = store.family()
    os.kill(store.ps()["pid"], signal.SIGKILL)
    assert store.process is not None
    store.process.wait()
    eventually(lambda: not alive(family), f"no orphans of {family}")
    assert store.ask("ps").returncode == 1
    store.start()
    assert store.get("/api/orders/word")[0] == 200


def test_nats_envoy_and_the_zygote_recover(store: Up) -> None:
    store.start()
    for name in ("nats", "gateway"):
        before = store.engine(name)
        os.kill(before["pid"], signal.SIGKILL)
        eventually(lambda n=name: store.engine(n)["restarts"] == 1 and store.engine(n)["pid"], f"{name} is back")
        assert store.engine(name)["address"] == before["address"]
        eventually(lambda: store.get("/api/orders/word")[0] == 200, "it answers")
    orders = psutil.Process(store.pids("orders")[0])
    os.kill(orders.ppid(), signal.SIGKILL)
    eventually(lambda: (p := store.pids("orders")[0]) and p != orders.pid, "services of a new parent")
    eventually(lambda: store.get("/api/orders/word")[0] == 200, "they answer")


def test_instances_are_known_again_after_the_broker_lost_its_store(store: Up) -> None:
    store.start()
    os.kill(store.engine("nats")["pid"], signal.SIGKILL)
    eventually(lambda: store.engine("nats")["restarts"] == 1, "nats is back")
    edit(store, "orders", '"one"', '"two"')
    eventually(lambda: store.get("/api/orders/word") == (200, {"word": "two", "pid": store.pids("orders")[0]}), "new")


def test_a_restart_refuses_no_request(store: Up) -> None:
    store.start()
    before, answers, done = store.pids("orders"), [], threading.Event()
    url = f"{store.ps()['gateway']}/api/orders/word"

    def ask() -> None:
        while not done.is_set():
            answers.append(fetch(url)[0])

    caller = threading.Thread(target=ask)
    caller.start()
    for _ in range(3):
        restarted = store.ask("restart", "orders")
        assert restarted.returncode == 0, restarted.stdout
    eventually(lambda: psutil.pid_exists(before[0]) is False, "the first process is gone")
    done.set()
    caller.join()
    assert store.pids("orders") != before
    assert set(answers) == {200}, answers
    assert len(answers) > 20
    unknown = hanse("restart", "oders", "--system", str(store.path))
    assert unknown.returncode == 1
    assert 'there is no service "oders"; there are: orders, users' in unknown.stderr


@pytest.mark.parametrize("verb", [("restart", "orders"), ("scale", "orders=0"), ("down",)])
def test_a_request_in_hand_is_finished_by_the_process_that_has_it(store: Up, verb: tuple[str, ...]) -> None:
    store.start()
    pid, url, answers = store.pids("orders")[0], f"{store.ps()['gateway']}/api/orders/slow", []
    caller = threading.Thread(target=lambda: answers.append(fetch(url, "POST")))
    caller.start()
    eventually(lambda: "slow begins" in store.text(), "the request is in hand")
    assert store.ask(*verb).returncode == 0
    caller.join()
    assert answers == [(200, {"word": "one", "pid": pid})]


def test_scale_up_and_down(store: Up) -> None:
    store.start()
    first = store.pids("orders")
    assert store.ask("scale", "orders=3").returncode == 0
    orders = store.service("orders")
    assert (len(orders["replicas"]), orders["state"]) == (3, "ready")
    wanted = set(store.pids("orders"))
    seen: set[int] = set()
    eventually(lambda: seen.add(store.get("/api/orders/word")[1]["pid"]) or seen == wanted, "all three answer")
    assert store.ask("scale", "orders=1").returncode == 0
    assert store.pids("orders") == first
    assert [pid for pid in wanted - set(first) if psutil.pid_exists(pid)] == []
    assert store.get("/api/orders/word") == (200, {"word": "one", "pid": first[0]})
    assert store.ask("scale", "orders=99").returncode == 1


def test_detach_ps_logs_and_down(store: Up, tmp_path: Path) -> None:
    done = hanse("up", str(store.path), "--detach")
    assert done.returncode == 0, done.stderr
    assert "store is up in" in done.stdout
    family = store.family()
    shown = hanse("ps", str(store.path))
    assert shown.returncode == 0
    assert [line.split()[0] for line in shown.stdout.splitlines()[1:]] == ["SERVICE", "orders", "users"]
    assert store.get("/api/orders/word")[0] == 200
    logs = hanse("logs", "orders", "--system", str(store.path))
    records = [json.loads(line) for line in logs.stdout.splitlines()]
    assert {record["service"] for record in records} == {"orders"}
    assert hanse("logs", "nobody", "--system", str(store.path)).returncode == 1
    down = hanse("down", str(store.path))
    assert (down.returncode, down.stderr) == (0, "")
    assert alive(family) == []
    assert hanse("down", str(store.path)).returncode == 1


def test_logs_follow(store: Up) -> None:
    store.start()
    follow = [*HANSE, "logs", "users", "-f", "-n", "0", "--system", str(store.path)]
    with subprocess.Popen(follow, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found: list[str] = []
        reader = threading.Thread(target=lambda: found.extend(iter(process.stdout.readline, "")))
        reader.start()
        eventually(lambda: store.get("/api/users/word")[0] == 200 and found, "a line")
        process.send_signal(signal.SIGINT)
        reader.join()
    assert {json.loads(line)["service"] for line in found} == {"users"}


def test_a_detached_failure_is_told(store: Up) -> None:
    edit(store, "orders", "import os", "import os\nimport no_such_module")
    done = hanse("up", str(store.path), "--detach")
    assert done.returncode == 1
    assert "orders: store/orders/app.py:2: ModuleNotFoundError" in done.stdout
    assert store.get("/api/users/word")[0] == 200


def test_what_the_services_parent_can_not_import_ends_up_at_once(store: Up, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "granian.py").write_text('raise ImportError("no such wheel here")')
    for options in ([], ["--detach"]):
        done = hanse("up", str(store.path), *options, PYTHONPATH=str(tmp_path / "broken"))
        assert done.returncode == 1
        assert "error: the parent of the services could not start: ImportError: no such wheel here" in done.stderr
        assert hanse("ps", str(store.path)).returncode == 1
