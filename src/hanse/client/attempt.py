"""One attempt of a call: sent, timed, traced, counted, and reported to the instance's breaker."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from opentelemetry.context import Context, get_current
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from hanse.client.call import REPEATABLE_STATUS, Call
from hanse.client.targets import Target, Targets
from hanse.client.transport import AnswerTooLarge, HttpRequest, HttpResponse, HttpStream, TransportFailure
from hanse.core import Env
from hanse.telemetry import Metrics, Span, Tracer, inject, traceparent
from hanse.telemetry.metrics import HistogramFamily, HistogramValue

Answer = TypeVar("Answer", HttpResponse, HttpStream)
Send = Callable[[HttpRequest, float], Awaitable[Answer]]
"""`HttpTransport.send` or `HttpTransport.open`."""
Outcome = HttpResponse | HttpStream | TransportFailure | None

_SLOW_S = 1.0


class Attempts:
    """Makes the attempts of one client.

    Args:
        env: the clock.
        service: the called service.
        targets: told of failures.
        timeout_s: bound on one attempt as configured, to tell a slow instance from an impatient caller.
        tracer, metrics: tell about each attempt; None tells nothing.
    """

    def __init__(
        self,
        env: Env,
        service: str,
        targets: Targets,
        timeout_s: float,
        tracer: Tracer | None,
        metrics: Metrics | None,
    ) -> None:
        self._monotonic = env.clock.monotonic
        self._service = service
        self._targets = targets
        self._tracer = tracer
        self._blame_s = min(timeout_s, _SLOW_S)
        self._durations: dict[tuple[str, int, str], HistogramValue] = {}
        self._family: HistogramFamily | None = None
        if metrics is not None:
            self._family = metrics.histogram(
                "http_client_request_duration_seconds",
                "Time from sending a request to its complete answer.",
                ("http_request_method", "server_address", "http_response_status_code", "error_type"),
            )

    async def make(
        self, call: Call, target: Target, permit: int, allowed_s: float, send: Send[Answer]
    ) -> Answer | TransportFailure:
        """Send `call` to `target`; takes at most `allowed_s`. Its breaker is told how it went, in every case.

        Written for speed: this and what it calls is most of what a call costs beside the transport.
        """
        began = self._monotonic()
        headers = call.headers if call.attempts == 1 else call.headers.copy()
        if call.tells_time:
            headers["x-request-timeout-ms"] = str(int(allowed_s * 1000) or 1)
        context = get_current()
        span = None
        if self._tracer is not None:
            span = self._span(self._tracer, call, target, context)
            headers["traceparent"] = traceparent(span)
        if context:  # else there is neither baggage nor a span to tell of
            inject(headers, span)
        outcome: Answer | TransportFailure | None = None
        status, error_type = 0, ""
        target.in_flight += 1
        target.calls += 1
        try:
            outcome = await send(
                HttpRequest(call.method, target.url + call.path, headers, call.body, call.limit_bytes), allowed_s
            )
            status = outcome.status
        except TransportFailure as failure:
            outcome = failure
        finally:
            target.in_flight -= 1
            if 0 < status < 500:
                target.breaker.success(permit)
            else:
                error_type = self._report(target, permit, outcome, allowed_s)
            if self._family is not None:
                self._count((call.method, status, error_type), self._monotonic() - began)
            if span is not None:
                if status:
                    span.attributes["http.response.status_code"] = status
                if not 0 < status < 400:
                    _mark_failed(span, outcome)
                span.end()
        return outcome

    def _report(self, target: Target, permit: int, outcome: Outcome, allowed_s: float) -> str:
        """Tell breaker and outlier detection about what is no success; returns the type of the error."""
        breaker = target.breaker
        if outcome is None:
            breaker.abandon(permit)  # the caller went away
        elif not isinstance(outcome, TransportFailure):
            self._targets.failed(target)
            if outcome.status in REPEATABLE_STATUS:
                breaker.failure(permit, f"status {outcome.status}")
            else:
                breaker.success(permit)
            return ""
        elif isinstance(outcome, AnswerTooLarge):
            breaker.success(permit)
        elif outcome.timed_out and outcome.sent and allowed_s < self._blame_s:
            breaker.abandon(permit)  # it was given less time than anybody could need
        else:
            self._targets.failed(target)
            breaker.failure(permit, outcome.reason)
        return _error_type(outcome)

    def _span(self, tracer: Tracer, call: Call, target: Target, context: Context) -> Span:
        method = call.method
        facts = target.span_facts.get(method)
        if facts is None:
            facts = target.span_facts[method] = {
                "http.request.method": method,
                "peer.service": self._service,
                "server.address": target.instance.host,
                "server.port": target.instance.port,
                "hanse.instance": target.id,
            }
        attributes = facts.copy()
        attributes["url.path"] = call.path.partition("?")[0]
        if call.attempts > 1:
            attributes["http.request.resend_count"] = call.attempts - 1
        parent = get_current_span(context).get_span_context() if context else None
        if parent is not None and not parent.is_valid:
            parent = None
        return tracer.start(f"{method} {self._service}", SpanKind.CLIENT, parent, attributes)

    def _count(self, labels: tuple[str, int, str], duration_s: float) -> None:
        histogram = self._durations.get(labels)
        if histogram is None:
            assert self._family is not None
            method, status, error_type = labels
            known = self._family.labels(method, self._service, str(status) if status else "", error_type)
            histogram = self._durations[labels] = known
        histogram.observe(duration_s)


def _mark_failed(span: Span, outcome: Outcome) -> None:
    if isinstance(outcome, HttpResponse | HttpStream):
        span.set_status(StatusCode.ERROR, f"status {outcome.status}")
        return
    span.attributes["error.type"] = _error_type(outcome)
    span.set_status(StatusCode.ERROR, "cancelled" if outcome is None else outcome.reason)


def _error_type(failure: TransportFailure | None) -> str:
    if failure is None:
        return "cancelled"
    if isinstance(failure, AnswerTooLarge):
        return "too_large"
    if not failure.sent:
        return "not_sent"
    return "timeout" if failure.timed_out else "unanswered"
