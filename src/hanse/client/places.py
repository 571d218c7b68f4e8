"""The way into a call: a place in the service's bulkhead, and the permit of its breaker."""

from hanse.client.call import Call
from hanse.client.errors import CallFailure
from hanse.resilience import BreakerOpen, Bulkhead, BulkheadFull, CircuitBreaker

_NO_BREAKER = 1
_SERVER_ERROR = 500


class Places:
    """Admission to one service.

    Args:
        bulkhead: bounds the calls under way.
        breaker: of the service as a whole; None: the breakers of its instances are enough.
        service: for errors.
    """

    __slots__ = ("breaker", "bulkhead", "service")

    def __init__(self, bulkhead: Bulkhead, breaker: CircuitBreaker | None, service: str) -> None:
        self.bulkhead = bulkhead
        self.breaker = breaker
        self.service = service

    def try_enter(self) -> int:
        """A permit when a call may begin at once, else 0; then `enter` waits or refuses.

        Whoever got in reports with `answered` or `failed`, and gives the place back with `bulkhead.release`.
        """
        if not self.bulkhead.try_acquire():
            return 0
        if self.breaker is None:
            return _NO_BREAKER
        permit = self.breaker.acquire()
        if not permit:
            self.bulkhead.release()
        return permit

    async def enter(self, call: Call, now: float) -> int:
        """The slow way in.

        Raises:
            BulkheadFull: no place became free before `call.end`, or in the time that the bulkhead allows.
            BreakerOpen: the breaker refuses.
        """
        try:
            await self.bulkhead.acquire(max(call.end - now, 0.0))
        except BulkheadFull as error:
            error.details.update(service=self.service, attempts=0)
            raise
        if self.breaker is None:
            return _NO_BREAKER
        permit = self.breaker.acquire()
        if not permit:
            self.bulkhead.release()
            wait_s = round(self.breaker.snapshot().retry_after_s, 3)
            raise BreakerOpen(f"{self.service} keeps failing", service=self.service, attempts=0, retry_after=wait_s)
        return permit

    def answered(self, permit: int, status: int) -> None:
        """Tell the breaker that the call was answered.

        Args:
            permit: what `try_enter` or `enter` gave.
        """
        if self.breaker is None:
            return
        if status >= _SERVER_ERROR:
            self.breaker.failure(permit, f"status {status}")
        else:
            self.breaker.success(permit)

    def failed(self, permit: int, error: BaseException) -> None:
        """Tell the breaker that there was no answer, and why."""
        if self.breaker is None:
            return
        if isinstance(error, CallFailure):
            self.breaker.failure(permit, type(error).__name__)
        else:
            self.breaker.abandon(permit)  # the caller went away, or asked for what can't be sent
