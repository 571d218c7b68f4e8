"""Durable: sagas, outbox, inbox and idempotency keys, in the service's own database.

Purpose: work that must not be lost is written in the caller's transaction and finished by whichever replica lives.
May import: core, resilience, db, events; pydantic and SQLAlchemy.
May touch: the service's database, through `hanse.db`; a transport, through its contract.
Guarantees: what was committed is done, at least once where the effect is outside, exactly once where it is in this
database; a replica that is killed is replaced within one lease; one that was declared dead can write nothing more.
"""

from hanse.durable.context import Failure, SagaContext
from hanse.durable.declaration import saga, step
from hanse.durable.durable import Durable
from hanse.durable.errors import KeyInProgress, KeyReused, LeaseLost, SagaExists
from hanse.durable.idempotency import Answered, StoredResponse
from hanse.durable.options import Attempt, DurableOptions, Hooks, SagaEnd
from hanse.durable.relay import Sink
from hanse.durable.status import SagaStatus, StepStatus

__all__ = [
    "Answered",
    "Attempt",
    "Durable",
    "DurableOptions",
    "Failure",
    "Hooks",
    "KeyInProgress",
    "KeyReused",
    "LeaseLost",
    "SagaContext",
    "SagaEnd",
    "SagaExists",
    "SagaStatus",
    "Sink",
    "StepStatus",
    "StoredResponse",
    "saga",
    "step",
]
