"""B13: goodput under five times the load that a service can serve, as a share of its peak, with and without shedding.

The handler computes for about 3 ms and never waits. Requests come at a fixed rate whatever is answered, and whoever
has waited for a second leaves, as people and clients with a deadline do; an answer that nobody waits for any more does
not count. Peak: the best rate with few requests under way. Each round starts the service anew, because a service
without a limit needs long to recover.
"""

import json
import resource
import subprocess
import sys
from typing import Any

from bench.harness.processes import ROOT, free_port, running, wait_for
from bench.harness.result import Result
from bench.harness.rounds import median

ROUNDS = 3
OVERLOAD = 5
IN_FLIGHT_AT_PEAK = 8
PEAK_S, OVERLOAD_S, SKIPPED_S = 2.0, 4.0, 1.0
_OPEN_FILES = 16_384
_SERVE = "import sys; from hanse.service.server import run; raise SystemExit(run(sys.argv[1]))"
Round = dict[str, dict[str, float]]


def run() -> list[Result]:
    _allow_connections()
    rounds: dict[bool, list[tuple[Round, Round]]] = {True: [], False: []}
    for _ in range(ROUNDS):
        for shedding, seen in rounds.items():
            seen.append(_round(shedding))
    detail: dict[str, Any] = {"share without shedding": round(_share(rounds[False]), 3)}
    for name, of in (("", rounds[True]), (" without shedding", rounds[False])):
        good = [overloaded.get("200", {}) for _, overloaded in of]
        detail[f"peak{name}"] = f"{median([peak['200']['rate'] for peak, _ in of]):.0f} answers/s"
        detail[f"at {OVERLOAD} × the peak{name}"] = f"{median([one.get('rate', 0.0) for one in good]):.0f} answers/s"
        detail[f"p50, p99 of answers{name}"] = ", ".join(
            f"{median([one.get(figure, 0.0) for one in good]):.0f} ms" for figure in ("p50_ms", "p99_ms")
        )
        detail[f"left unanswered{name}"] = f"{median([late.get('0', {}).get('rate', 0.0) for _, late in of]):.0f}/s"
    detail["refused"] = f"{median([late.get('503', {}).get('rate', 0.0) for _, late in rounds[True]]):.0f}/s"
    peak = median([peak["200"]["rate"] for peak, _ in rounds[True]])
    return [
        Result(
            id="B13",
            what=f"goodput at {OVERLOAD} × capacity, of the peak",
            unit="answers/s",
            ours=_share(rounds[True]) * peak,
            peer=peak,
            peer_name="its own peak",
            wanted=0.8,
            detail=detail,
        )
    ]


def _share(rounds: list[tuple[Round, Round]]) -> float:
    """Goodput under overload over the peak of the same round."""
    return median([late.get("200", {"rate": 0.0})["rate"] / peak["200"]["rate"] for peak, late in rounds])


def _round(shedding: bool) -> tuple[Round, Round]:
    """What came at the peak and under overload, by status."""
    port = free_port()
    settings = {"HANSE_PORT": str(port), "HANSE_LOAD_SHEDDING": str(shedding)}
    with running([sys.executable, "-c", _SERVE, "bench.apps.computing:service"], **settings) as served:
        wait_for([f"http://127.0.0.1:{port}/health/live"])
        command = [sys.executable, "-m", "bench.clients.pressure", str(port), "/compute"]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
            try:
                peak = _ask(client, flight=IN_FLIGHT_AT_PEAK, seconds=PEAK_S, skip=SKIPPED_S)
                rate = OVERLOAD * peak["200"]["rate"]
                return peak, _ask(client, rate=rate, seconds=OVERLOAD_S, skip=SKIPPED_S)
            finally:
                client.kill()
                served.kill()  # it would first work off what nobody waits for any more


def _ask(client: "subprocess.Popen[str]", **wanted: float) -> Round:
    assert client.stdin and client.stdout
    client.stdin.write(json.dumps(wanted) + "\n")
    client.stdin.flush()
    found: Round = json.loads(client.stdout.readline())
    return found


def _allow_connections() -> None:
    """Everybody who waits has a connection, on both sides."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
