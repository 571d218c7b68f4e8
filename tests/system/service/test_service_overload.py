"""A service process under more load than it can serve: it refuses early, in order of importance, and recovers."""

import json
import threading
from collections import Counter
from typing import Any

import pytest

pytestmark = pytest.mark.system


def flood(process: Any, path: str, count: int) -> Counter[int]:
    """`count` requests at once, each on a connection of its own; how often each status came."""
    seen: Counter[int] = Counter()
    bodies: list[tuple[Any, Any]] = []
    lock = threading.Lock()

    def ask() -> None:
        answer = process.call("GET", path)
        with lock:
            seen[answer[0]] += 1
            bodies.append(answer[1:])

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for headers, body in bodies:
        if isinstance(body, dict) and body["status"] == 503:
            assert (body["code"], headers["retry-after"]) == ("overloaded", "1"), json.dumps(body)
    return seen


def test_handlers_that_compute_are_kept_from_piling_up(launch: Any) -> None:
    process = launch("busy:service", concurrency_minimum="4", concurrency_maximum="4")
    seen = flood(process, "/compute?ms=50", 40)
    assert set(seen) == {200, 503}
    assert seen[200] >= 3
    _, _, told = process.call("GET", "/resilience?kind=adaptive")
    (state,) = told["patterns"]
    assert (state["name"], state["limit"], state["rejected"]["normal"]) == ("requests", 4, seen[503])
    metrics = process.call("GET", "/metrics")[2]
    assert f'http_server_shed_requests_total{{priority="normal"}} {seen[503]}.0' in metrics
    assert len([line for line in process.lines("request") if line.get("code") == "overloaded"]) <= seen[503]
    assert process.call("GET", "/compute?ms=1")[0] == 200, "it serves again as soon as there is room"
    assert flood(process, "/health", 20) == {200: 20}


def test_the_default_leaves_ordinary_bursts_alone(launch: Any) -> None:
    process = launch("busy:service")
    assert flood(process, "/compute?ms=2", 80) == {200: 80}
    assert flood(process, "/pay", 20) == {200: 20}
