"""One attempt of a call: sent, timed, traced, counted, and reported to the instance's breaker."""

from opentelemetry.trace import SpanContext, SpanKind, StatusCode, get_current_span

from hanse.client.call import REPEATABLE_STATUS, Call
from hanse.client.targets import Target
from hanse.client.transport import HttpRequest, HttpResponse, HttpTransport, TransportFailure
from hanse.core import Env
from hanse.telemetry import Metrics, Span, Tracer, traceparent
from hanse.telemetry.metrics import HistogramFamily, HistogramValue

_SLOW_S = 1.0


class Attempts:
    """Makes the attempts of one client.

    Args:
        env: the clock.
        service: the called service.
        transport: sends.
        timeout_s: bound on one attempt as configured, to tell a slow instance from an impatient caller.
        tracer, metrics: tell about each attempt; None tells nothing.
    """

    def __init__(
        self,
        env: Env,
        service: str,
        transport: HttpTransport,
        timeout_s: float,
        tracer: Tracer | None,
        metrics: Metrics | None,
    ) -> None:
        self._clock = env.clock
        self._service = service
        self._transport = transport
        self._tracer = tracer
        self._blame_s = min(timeout_s, _SLOW_S)
        self._names: dict[str, str] = {}
        self._durations: dict[tuple[str, int, str], HistogramValue] = {}
        self._family: HistogramFamily | None = None
        if metrics is not None:
            self._family = metrics.histogram(
                "http_client_request_duration_seconds",
                "Time from sending a request to its complete answer.",
                ("http_request_method", "server_address", "http_response_status_code", "error_type"),
            )

    async def make(self, call: Call, target: Target, permit: int, allowed_s: float) -> HttpResponse | TransportFailure:
        """Send `call` to `target`; takes at most `allowed_s`. Its breaker is told how it went, in every case."""
        began = self._clock.monotonic()
        headers = call.headers.copy()
        headers["x-request-timeout-ms"] = str(max(int(allowed_s * 1000), 1))
        span = self._span(call, target, headers) if self._tracer is not None else None
        outcome: HttpResponse | TransportFailure | None = None
        target.in_flight += 1
        try:
            request = HttpRequest(call.method, target.url + call.path, headers, call.body)
            outcome = await self._transport.send(request, allowed_s)
        except TransportFailure as failure:
            outcome = failure
        finally:
            target.in_flight -= 1
            self._report(target, permit, outcome, allowed_s)
            if self._family is not None:
                self._count(call.method, outcome, self._clock.monotonic() - began)
            if span is not None:
                self._end(span, outcome)
        return outcome

    def _report(
        self, target: Target, permit: int, outcome: HttpResponse | TransportFailure | None, allowed_s: float
    ) -> None:
        if isinstance(outcome, HttpResponse):
            if outcome.status in REPEATABLE_STATUS:
                target.breaker.failure(permit, f"status {outcome.status}")
            else:
                target.breaker.success(permit)
        elif outcome is None or (outcome.timed_out and outcome.sent and allowed_s < self._blame_s):
            target.breaker.abandon(permit)  # the caller went away, or gave it less time than anybody could need
        else:
            target.breaker.failure(permit, outcome.reason)

    def _span(self, call: Call, target: Target, headers: dict[str, str]) -> Span:
        assert self._tracer is not None
        method = call.method
        name = self._names.get(method)
        if name is None:
            name = self._names[method] = f"{method} {self._service}"
        parent: SpanContext | None = get_current_span().get_span_context()
        instance = target.instance
        span = self._tracer.start(
            name,
            SpanKind.CLIENT,
            parent if parent is not None and parent.is_valid else None,
            {
                "http.request.method": method,
                "peer.service": self._service,
                "server.address": instance.host,
                "server.port": instance.port,
                "url.path": call.path.partition("?")[0],
                "hanse.instance": target.id,
            },
        )
        if call.attempts > 1:
            span.attributes["http.request.resend_count"] = call.attempts - 1
        headers["traceparent"] = traceparent(span)
        return span

    @staticmethod
    def _end(span: Span, outcome: HttpResponse | TransportFailure | None) -> None:
        if isinstance(outcome, HttpResponse):
            span.attributes["http.response.status_code"] = outcome.status
            if outcome.status >= 400:
                span.set_status(StatusCode.ERROR, f"status {outcome.status}")
        else:
            reason = "cancelled" if outcome is None else outcome.reason
            span.attributes["error.type"] = _error_type(outcome)
            span.set_status(StatusCode.ERROR, reason)
        span.end()

    def _count(self, method: str, outcome: HttpResponse | TransportFailure | None, duration_s: float) -> None:
        if isinstance(outcome, HttpResponse):
            key = (method, outcome.status, "")
        else:
            key = (method, 0, _error_type(outcome))
        histogram = self._durations.get(key)
        if histogram is None:
            assert self._family is not None
            status = str(key[1]) if key[1] else ""
            histogram = self._durations[key] = self._family.labels(method, self._service, status, key[2])
        histogram.observe(duration_s)


def _error_type(failure: TransportFailure | None) -> str:
    if failure is None:
        return "cancelled"
    if not failure.sent:
        return "not_sent"
    return "timeout" if failure.timed_out else "unanswered"
