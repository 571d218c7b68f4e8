"""The saga as a pure state machine: marks go in, the next action comes out. No I/O, no time, no randomness."""

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class State(enum.IntEnum):
    """Where a saga stands. Below 3 it is live: some replica works on it, or will."""

    RUNNING = 0
    UNDOING = 1
    DONE = 3
    UNDONE = 4
    STUCK = 5
    """All was tried; at least one compensation did not succeed and waits for a person."""

    @property
    def final(self) -> bool:
        return self >= State.DONE


class Kind(enum.IntEnum):
    """What a mark says about its step."""

    DONE = 0
    UNDONE = 1
    FAILED = 2
    """It certainly took no effect: nothing to undo."""
    DOUBT = 3
    """It failed, and may have taken effect: it is undone too."""
    PARKED = 4
    """Its compensation was given up."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One durable fact about one step, and the state of the saga once it is written."""

    step: int
    kind: Kind
    state: State


@dataclass(frozen=True, slots=True)
class Action:
    """What is to be done next."""

    step: int
    compensating: bool


class Machine:
    """Decides what comes next from the marks written so far.

    Guarantees: steps run in order; after a failure exactly the steps that may have taken effect and can be undone
    are undone, last first, past compensations that were given up, and then the ending runs; restoring from the marks
    written so far, at any moment, gives the same machine.

    Args:
        undoable: per step, whether it names a compensation.
        ends: the last step is an ending: it is never marked as failed or parked.
    """

    __slots__ = ("_parked", "_todo", "ends", "position", "state", "undoable")

    def __init__(self, undoable: Sequence[bool], *, ends: bool = False) -> None:
        self.undoable = tuple(undoable)
        self.ends = ends
        self.position = 0
        """Number of steps done."""
        self.state = State.RUNNING
        self._todo: list[int] = []
        self._parked = False

    @classmethod
    def restore(cls, undoable: Sequence[bool], marks: Iterable[tuple[int, Kind]], *, ends: bool = False) -> "Machine":
        """The machine that has seen these (step, kind), in any order."""
        machine = cls(undoable, ends=ends)
        rank = {Kind.DONE: 0, Kind.FAILED: 1, Kind.DOUBT: 1, Kind.UNDONE: 2, Kind.PARKED: 2}
        for step, kind in sorted(marks, key=lambda mark: (rank[mark[1]], mark[0])):
            machine.apply(step, kind)
        return machine

    def action(self) -> Action | None:
        """The next thing to do; None in a final state."""
        if self.state is State.RUNNING:
            return Action(self.position, compensating=False)
        if self.state is State.UNDOING:
            return Action(self._todo[0], compensating=True)
        return None

    def mark(self, kind: Kind) -> Mark:
        """The mark to write when the present action ended as `kind`. Changes nothing: write it, then `apply` it.

        Raises:
            ValueError: the present action can't end like that.
        """
        action = self.action()
        if action is None or action.compensating is not (kind in (Kind.UNDONE, Kind.PARKED)):
            raise ValueError(f"{kind.name} does not fit a saga that is {self.state.name}")
        return Mark(action.step, kind, self._after(action.step, kind)[0])

    def apply(self, step: int, kind: Kind) -> None:
        """Take note of a mark that has been written."""
        self.state, self._todo, self._parked = self._after(step, kind)
        if kind is Kind.DONE:
            self.position = step + 1

    def _after(self, step: int, kind: Kind) -> tuple[State, list[int], bool]:
        if kind is Kind.DONE:
            return (State.DONE if step + 1 == len(self.undoable) else State.RUNNING), [], False
        parked = self._parked or kind is Kind.PARKED
        if kind in (Kind.FAILED, Kind.DOUBT):
            last = step if kind is Kind.DOUBT else step - 1
            todo = [index for index in range(last, -1, -1) if self.undoable[index]]
            if self.ends:
                todo.append(len(self.undoable) - 1)
        else:
            todo = [index for index in self._todo if index != step]
        if todo:
            return State.UNDOING, todo, parked
        return (State.STUCK if parked else State.UNDONE), todo, parked
