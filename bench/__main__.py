"""The command: choose benchmarks, run them one after the other, print a table or JSON."""

import argparse
import json
import sys
from importlib import import_module

from bench.harness.report import table
from bench.harness.result import Result

BENCHMARKS = {
    "B1b": ("bench.gateway", "the gateway with everything on against a bare Envoy with one route"),
    "B3": ("bench.client", "calls of a service with everything on against httpx, axios (B3b) and bare pyreqwest (B3c)"),
    "B4": ("bench.resilience", "breaker, retry, limiter, bulkhead around a call that goes well, against their peers"),
    "B10": ("bench.start_shop", "`hanse up` of the whole shop against one uvicorn per service"),
    "B11": ("bench.reload", "edit a handler until the new code answers, against uvicorn --reload"),
    "B12": ("bench.orders", "orders per second through gateway, saga, payment, inventory, events, notification"),
    "B13": ("bench.shedding", "goodput at five times the capacity as a share of the peak, with and without shedding"),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure Hanse against named peers.",
        epilog="\n".join(f"  {id_:4} {what}" for id_, (_, what) in BENCHMARKS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("ids", nargs="*", metavar="ID", help="which (default: all)")
    parser.add_argument("--json", action="store_true", help="print one JSON object per result")
    options = parser.parse_args()
    if unknown := [id_ for id_ in options.ids if id_ not in BENCHMARKS]:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    results: list[Result] = []
    for id_ in options.ids or BENCHMARKS:
        module, what = BENCHMARKS[id_]
        print(f"{id_}: {what} …", file=sys.stderr, flush=True)
        made: list[Result] = import_module(module).run()
        results += made
        for result in made:
            if options.json:
                print(json.dumps(result.as_json()), flush=True)
    if not options.json:
        print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
