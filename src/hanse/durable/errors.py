"""What goes wrong with durable work, beyond the errors of core."""

from hanse.core.errors import Conflict, HanseError, InvalidInput


class LeaseLost(HanseError):
    """This replica no longer owns the work: another one may have taken it over. Stop; cause no further effect."""

    code, status = "lease_lost", 503
    retryable = True


class SagaExists(Conflict):
    """A saga of that id has been started before; it is not started twice."""

    code = "saga_exists"


class KeyReused(InvalidInput):
    """An idempotency key came again with another request. Make a new key for a new request."""

    code = "idempotency_key_reused"


class KeyInProgress(Conflict):
    """The first request with that idempotency key has not been answered yet. Ask again later."""

    code = "idempotency_key_in_progress"
    retryable = True
