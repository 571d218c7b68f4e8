"""The gateway's own spans: sampled by ratio unless the caller has decided, sent over OTLP/HTTP."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from hanse.gateway.resource import Resource, named, seconds

CLUSTER = "hanse-telemetry"
_EXPORT_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Tracing:
    """Where spans go.

    Args:
        endpoint: of an OTLP/HTTP receiver, as in `HANSE_OTLP_ENDPOINT` (`http://127.0.0.1:4318`).
        sample: share of traces that begin here and are kept, 0 to 1; a caller's own decision is followed.
    """

    endpoint: str
    sample: float = 1.0

    @property
    def host(self) -> str:
        return urlsplit(self.endpoint).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.endpoint).port or 4318

    @property
    def uri(self) -> str:
        path = urlsplit(self.endpoint).path.rstrip("/")
        return f"http://{self.host}:{self.port}{path if path.endswith('/v1/traces') else path + '/v1/traces'}"

    def problems(self) -> list[str]:
        found = []
        if urlsplit(self.endpoint).scheme != "http" or not self.host:
            found.append(f"tracing endpoint {self.endpoint!r}: write http://host:port")
        if not 0 <= self.sample <= 1:
            found.append(f"tracing sample {self.sample} is not between 0 and 1")
        return found


def tracing(spec: Tracing | None) -> Resource:
    """The connection manager's fields for tracing; none of them without a receiver.

    Envoy ANDs `random_sampling` with the caller's flag, so it is 100 and an OpenTelemetry sampler decides.
    """
    if spec is None:
        return {}
    ratio = named(
        "ratio",
        "extensions.tracers.opentelemetry.samplers.v3.TraceIdRatioBasedSamplerConfig",
        sampling_percentage={"numerator": round(spec.sample * 1_000_000), "denominator": "MILLION"},
    )
    sampler = named(
        "envoy.tracers.opentelemetry.samplers.parent_based",
        "extensions.tracers.opentelemetry.samplers.v3.ParentBasedSamplerConfig",
        wrapped_sampler=ratio,
    )
    provider = named(
        "envoy.tracers.opentelemetry",
        "config.trace.v3.OpenTelemetryConfig",
        service_name="gateway",
        http_service={"http_uri": {"uri": spec.uri, "cluster": CLUSTER, "timeout": seconds(_EXPORT_TIMEOUT_S)}},
        sampler=sampler,
    )
    everything = {"value": 100}
    return {
        "tracing": {
            "random_sampling": everything,
            "overall_sampling": everything,
            "client_sampling": {"value": 0},
            "provider": provider,
        }
    }
