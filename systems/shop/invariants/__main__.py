"""The command: `python -m systems.shop.invariants [folder] [--settled]`."""

import argparse
import sqlite3
import sys
from pathlib import Path

from . import check, read

_DATA = Path(__file__).parent.parent / ".hanse" / "data"


def main() -> int:
    """Check the databases of a folder; 0 nothing broken, 1 something is, 2 nothing to check."""
    parser = argparse.ArgumentParser(description="Name every invariant of the shop that its databases break.")
    parser.add_argument("folder", nargs="?", type=Path, default=_DATA, help="with orders.db, inventory.db, …")
    parser.add_argument("--settled", action="store_true", help="all is quiet: every order must have ended")
    arguments = parser.parse_args()
    folder = arguments.folder
    for inner in (folder / "data", folder / ".hanse" / "data"):
        folder = inner if inner.is_dir() else folder
    try:
        snapshot = read(folder)
    except (OSError, sqlite3.Error) as error:
        print(f"nothing to check: {error}", file=sys.stderr)
        return 2
    violations = check(snapshot, settled=arguments.settled)
    for violation in violations:
        print(f"  BROKEN  {violation}")
    told = f"{len(snapshot.orders)} orders, {len(snapshot.payments)} payments, {len(snapshot.stock)} products"
    left_out = f" ({len(snapshot.working)} orders in work left out)" if snapshot.working else ""
    print(f"  {told}{left_out}: {f'{len(violations)} violations' if violations else 'all invariants hold'}")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
