"""B11: how long from saving an edited handler until the new code answers."""

import http.client
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.harness.processes import answers, free_port, hanse, hanse_json, running, wait_for
from bench.harness.result import Result
from bench.harness.rounds import alternate, median

ROUNDS = 5
APPS = Path(__file__).parent / "apps"
GIVE_UP_S = 20.0


def edit_until_answered(file: Path, port: int) -> Callable[[], float]:
    """A round: write the next number into the handler and ask until it is the answer."""
    edits = 0

    def once() -> float:
        nonlocal edits
        edits += 1
        file.write_text(re.sub(r'"edit": \d+', f'"edit": {edits}', file.read_text()))
        began = time.perf_counter()
        wanted = f'"edit":{edits}'.encode()
        while time.perf_counter() - began < GIVE_UP_S:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
                connection.request("GET", "/answer")
                body = connection.getresponse().read()
                connection.close()
            except (OSError, http.client.HTTPException):
                time.sleep(0.002)
                continue
            if body.replace(b" ", b"").find(wanted) >= 0:
                return time.perf_counter() - began
            time.sleep(0.002)
        raise TimeoutError(f"edit {edits} of {file.name} never answered")

    return once


def uvicorn_reload(folder: Path, app: str, port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "uvicorn", f"{app}:service", "--reload", "--app-dir", str(folder)),
        *("--reload-dir", str(folder), "--port", str(port), "--no-access-log"),
    ]


def run() -> list[Result]:
    with tempfile.TemporaryDirectory() as name:
        ours, peer, bare = (Path(name) / part for part in ("ours", "peer", "bare"))
        for folder, app in ((ours, "greeter"), (peer, "greeter"), (bare, "bare")):
            folder.mkdir()
            shutil.copy(APPS / f"{app}.py", folder)
        port, bare_port = free_port(), free_port()
        with (
            running(uvicorn_reload(peer, "greeter", port)),
            running(uvicorn_reload(bare, "bare", bare_port)),
        ):
            wait_for([f"http://127.0.0.1:{port}/answer", f"http://127.0.0.1:{bare_port}/answer"])
            hanse("up", str(ours / "greeter.py"), "--detach")
            try:
                [service] = hanse_json("ps", str(ours / "greeter.py"))["services"]  # type: ignore[misc]
                address = service["replicas"][0]["address"]
                assert answers(f"http://{address}/answer")
                mine = edit_until_answered(ours / "greeter.py", int(address.rpartition(":")[2]))
                first, second = alternate(mine, edit_until_answered(peer / "greeter.py", port), rounds=ROUNDS)
                third, _ = alternate(edit_until_answered(bare / "bare.py", bare_port), lambda: 0.0, rounds=ROUNDS)
            finally:
                hanse("down", str(ours / "greeter.py"))
    return [
        Result(
            id="B11",
            what="edit → new code answers",
            unit="ms",
            ours=median(first) * 1000,
            peer=median(second) * 1000,
            peer_name="uvicorn --reload, same service",
            better="less",
            wanted=8,
            detail={
                "bare FastAPI under uvicorn --reload": f"{median(third) * 1000:.0f} ms",
                "slowest of ours": f"{max(first) * 1000:.0f} ms",
            },
        )
    ]
