"""What a declaration may say, and how a wrong one is refused: with file, line and the nearest name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from hanse.core.errors import ConfigurationError
from hanse.durable import SagaContext, saga, step
from hanse.durable.declaration import definition_of
from hanse.durable.definition import Origin


class Reservation(BaseModel):
    id: str


@dataclass
class Order:
    id: str


def test_parameters_are_traced_to_their_sources() -> None:
    @saga("place-order", version=3)
    class Place:
        @step(compensate="release", timeout=5, attempts=0)
        async def reserve(self, order: Order, context: SagaContext) -> Reservation:
            return Reservation(id=order.id)

        @step
        async def save(self, db: AsyncSession, held: Reservation, order: Order) -> None: ...

        async def release(self, held: Reservation | None, db: AsyncSession) -> None: ...

    definition = definition_of(Place)
    reserve, save = definition.steps
    assert (definition.name, definition.version, definition.step_names) == ("place-order", 3, ("reserve", "save"))
    assert [parameter.origin for parameter in reserve.do.parameters] == [Origin.INPUT, Origin.CONTEXT]
    assert (reserve.timeout_s, reserve.attempts, reserve.do.local) == (5, 0, False)
    assert [(parameter.origin, parameter.step) for parameter in save.do.parameters] == [
        (Origin.SESSION, -1),
        (Origin.RESULT, 0),
        (Origin.INPUT, -1),
    ]
    assert save.do.local and save.undo is None and save.result is None
    assert reserve.undo is not None and reserve.undo.local and not reserve.undo_needs_result


def test_an_ending_is_the_last_step_whichever_way_it_is_come_to() -> None:
    @saga("ends", ended="close")
    class Ends:
        @step(compensate="undo", undo_attempts=0)
        async def one(self, order_id: str) -> str:
            return order_id

        async def undo(self) -> None: ...

        async def close(self, order_id: str, one: str | None, context: SagaContext, db: AsyncSession) -> None: ...

    one, close = definition_of(Ends).steps
    assert definition_of(Ends).ends and close.ending and close.do is close.undo
    assert (one.ending, one.undo_attempts, close.undo_attempts) == (False, 0, None)


def test_of_several_values_of_one_type_the_name_decides() -> None:
    @saga("s")
    class Several:
        @step
        async def first(self, order_id: str) -> str:
            return order_id

        @step
        async def second(self, first: str, order_id: str) -> None: ...

    first, order = definition_of(Several).steps[1].do.parameters
    assert (first.origin, order.origin) == (Origin.RESULT, Origin.INPUT)


def unknown_compensation() -> None:
    @saga("s")
    class Wrong:
        @step(compensate="relase")
        async def reserve(self, order_id: str) -> None: ...

        async def release(self) -> None: ...


def unknown_parameter() -> None:
    @saga("s")
    class Wrong:
        @step
        async def reserve(self, order: Order) -> Reservation: ...

        @step
        async def pay(self, reserv: int) -> None: ...


def later_result() -> None:
    @saga("s")
    class Wrong:
        @step(compensate="undo")
        async def one(self, order: Order) -> None: ...

        @step
        async def two(self) -> Reservation: ...

        async def undo(self, two: Reservation) -> None: ...


def ambiguous() -> None:
    @saga("s")
    class Wrong:
        @step
        async def one(self, order_id: str) -> str: ...

        @step
        async def two(self, which: str) -> None: ...


def wrong_type() -> None:
    @saga("s")
    class Wrong:
        @step
        async def one(self, order_id: str) -> Reservation: ...

        @step
        async def two(self, one: int) -> None: ...


def no_return() -> None:
    @saga("s")
    class Wrong:
        @step
        async def one(self, order_id: str): ...  # type: ignore[no-untyped-def]


def not_async() -> None:
    @saga("s")
    class Wrong:
        @step  # type: ignore[type-var]
        def one(self, order_id: str) -> None: ...


def no_steps() -> None:
    @saga("s")
    class Wrong: ...


def no_input() -> None:
    @saga("s")
    class Wrong:
        @step
        async def one(self, db: AsyncSession) -> None: ...


def undefined_name() -> None:
    @saga("s")
    class Wrong:
        @step
        async def one(self, order_id: str) -> "Reservatio": ...  # type: ignore[name-defined]  # noqa: F821


def not_json() -> None:
    @saga("s")
    class Wrong:
        @step
        async def one(self, order_id: str) -> object.__class__.__subclasshook__: ...  # type: ignore[valid-type, name-defined]


def variadic() -> None:
    @saga("s")
    class Wrong:
        @step
        async def one(self, order_id: str, *rest: str) -> None: ...


def bad_timeout() -> None:
    @saga("s")
    class Wrong:
        @step(timeout=0)
        async def one(self, order_id: str) -> None: ...


def unknown_ending() -> None:
    @saga("s", ended="cloze")
    class Wrong:
        @step
        async def one(self, order_id: str) -> None: ...

        async def close(self, db: AsyncSession) -> None: ...


def ending_outside() -> None:
    @saga("s", ended="undo")
    class Wrong:
        @step
        async def one(self, order_id: str) -> None: ...

        async def undo(self, order_id: str) -> None: ...


def ending_counts_on_a_result() -> None:
    @saga("s", ended="undo")
    class Wrong:
        @step
        async def one(self, order_id: str) -> int: ...

        async def undo(self, one: int, db: AsyncSession) -> None: ...


def ending_is_a_step() -> None:
    @saga("s", ended="one")
    class Wrong:
        @step
        async def one(self, order_id: str, db: AsyncSession) -> None: ...


def undone_by_nothing() -> None:
    @saga("s")
    class Wrong:
        @step(undo_attempts=0)
        async def one(self, order_id: str) -> None: ...


@pytest.mark.parametrize(
    ("declare", "expected"),
    [
        (
            unknown_compensation,
            'step "reserve" names compensation "relase", which does not exist. Did you mean "release"?',
        ),
        (
            unknown_parameter,
            'step "pay": nothing fills parameter "reserv: int"; there is "order: Order", "reserve: Rese',
        ),
        (unknown_parameter, 'Did you mean "reserve"?'),
        (later_result, 'compensation "undo": nothing fills parameter "two: Reservation"'),
        (ambiguous, 'step "two": "which: str" could be any of "order_id", "one"'),
        (wrong_type, 'step "two": "one" is annotated int, but is Reservation'),
        (no_return, 'step "one" has no return annotation'),
        (not_async, 'step "one" must be "async def"'),
        (no_steps, "has no step"),
        (no_input, 'step "one" must take the saga\'s input'),
        (undefined_name, 'not defined here: "Reservatio". Did you mean "Reservation"?'),
        (not_json, "can't be stored as JSON"),
        (variadic, 'parameter "*rest: str" must have a name of its own'),
        (bad_timeout, "needs timeout > 0"),
        (undone_by_nothing, 'step "one" has undo_attempts, and nothing undoes it'),
        (unknown_ending, 'names ending "cloze", which does not exist. Did you mean "close"?'),
        (ending_outside, 'ending "undo" must take an AsyncSession'),
        (ending_counts_on_a_result, 'ending "undo": "one" must accept None'),
        (ending_is_a_step, 'ending "one" is a step already'),
    ],
)
def test_a_wrong_declaration_says_where_and_what(declare: Callable[[], None], expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        declare()
    message = caught.value.message
    assert expected in message
    where, _, text = message.partition(": ")
    path, _, line = where.rpartition(":")
    assert path.endswith("test_durable_declaration.py")
    assert text.startswith('saga "s" ')
    first = declare.__code__.co_firstlineno
    assert first < int(line) < first + 13
    source = Path(__file__).read_text().splitlines()
    assert "@" in source[int(line) - 1] or "def undo" in source[int(line) - 1]


def test_a_class_without_the_decorator_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="put @saga"):
        definition_of(Reservation)
