"""The one bundle of seams that a component gets."""

from dataclasses import dataclass

from hanse.core.clock import Clock, SystemClock
from hanse.core.ids import Ids
from hanse.core.random import Random
from hanse.core.scope import Scope


@dataclass(frozen=True, slots=True)
class Env:
    """What a node may use of the outside world: time, randomness, ids and the ownership of tasks.

    A component takes an `Env` in its constructor and does no I/O there. Networks and disks are reached through the
    contracts of the rooms that own them (`client`, `events`, `registry`, `db`), which are built from an `Env` too.
    """

    node: str
    clock: Clock
    random: Random
    ids: Ids
    scope: Scope

    @classmethod
    def build(cls, node: str, *, clock: Clock | None = None, random: Random | None = None) -> "Env":
        """The seams of a node; without arguments those of the real machine."""
        clock = clock or SystemClock()
        random = random or Random()
        return cls(node, clock, random, Ids(clock, random), Scope(clock, node))
