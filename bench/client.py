"""B3, B3b, B3c: calls of another service with everything on, against clients that do the same or less.

B3  httpx.AsyncClient + tenacity + purgatory: retry, breaker, the same headers, the same typed decoding; no discovery.
B3b axios + opossum on Node: breaker, the same headers, JSON; no discovery, no retry, no types.
B3c pyreqwest, the library below ours, with the same headers and the same typed decoding; and with nothing at all.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.harness.processes import ROOT
from bench.harness.result import Result
from bench.harness.rounds import median
from bench.harness.upstream import answering

ROUNDS = 5
ROUND_S = 1.0
INSTANCES = 3
BODY = '{"id":"7","name":"Atlas of the World","price":"12.50","left":3,"tags":["books","maps"]}'
WHAT = "service client, everything on, 32 in flight"
Round = dict[str, float]


def run() -> list[Result]:
    node = _node()
    kinds = ["ours", "pyreqwest", "plain", "httpx", *(["axios"] if node else [])]
    rounds: dict[str, list[Round]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        ports = stack.enter_context(answering(Path(folder), BODY, ports=INSTANCES))
        workers = {kind: stack.enter_context(_worker(kind, ports)) for kind in kinds}
        for _ in range(ROUNDS):
            for kind, worker in workers.items():
                rounds[kind].append(_round(worker))
    peers = [
        ("B3", "httpx", "httpx + tenacity + purgatory", 25.0),
        ("B3b", "axios", "axios + opossum", 1.5),
        ("B3c", "pyreqwest", "bare pyreqwest, same headers and decoding", 0.6),
        ("B3c-plain", "plain", "bare pyreqwest, nothing on", 0.6),
    ]
    return [
        _result(id_, rounds["ours"], rounds[kind], name, wanted) for id_, kind, name, wanted in peers if kind in rounds
    ]


def _result(id_: str, ours: list[Round], peer: list[Round], name: str, wanted: float) -> Result:
    def of(rounds: list[Round], figure: str) -> float:
        return median([one[figure] for one in rounds])

    detail = {
        f"{figure}{suffix}": round(of(rounds, figure), 2)
        for suffix, rounds in (("", ours), ("_peer", peer))
        for figure in ("p50_ms", "p99_ms", "cpu_us")
    }
    return Result(id_, WHAT, "calls/s", of(ours, "rate"), of(peer, "rate"), name, wanted=wanted, detail=detail)


@contextmanager
def _worker(kind: str, ports: list[int]) -> Iterator[subprocess.Popen[str]]:
    told = [str(port) for port in ports]
    if kind == "axios":
        command = ["node", "clients/worker.mjs", *told]
    else:
        command = [sys.executable, "-m", "bench.clients.worker", kind, *told]
    folder = ROOT / "bench" if kind == "axios" else ROOT
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _round(worker: subprocess.Popen[str]) -> Round:
    assert worker.stdin and worker.stdout
    worker.stdin.write(f"{ROUND_S}\n")
    worker.stdin.flush()
    found: Round = json.loads(worker.stdout.readline())
    return found


def _node() -> bool:
    """Whether the peer on Node can run; installs it, as locked, the first time."""
    if shutil.which("npm") is None:
        print("B3b is left out: it needs Node and npm", file=sys.stderr)
        return False
    if not (ROOT / "bench" / "node_modules" / "opossum").is_dir():
        subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=ROOT / "bench", check=True)
    return True
