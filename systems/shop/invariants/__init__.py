"""Invariants: what must hold in the shop's databases whatever died, and a checker that names what does not.

Purpose: `python -m systems.shop.invariants [folder] [--settled]`; `read` and `check` for tests.
May import: the standard library only, so that it shares no code with what it checks.
May touch: the databases, reading.
Guarantees: may run beside a working shop; orders that somebody works on are left out of the comparisons between
databases.
"""

from .checks import Violation, check
from .snapshot import Snapshot, read

__all__ = ["Snapshot", "Violation", "check", "read"]
