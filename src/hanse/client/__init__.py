"""Client: calling another service as if it were one reliable thing.

Purpose: `ServiceClient`: discovery, balancing, deadline, retry where safe, hedging, breakers, identity, streams.
May import: core, resilience, telemetry, registry; pyreqwest in `pyreqwest.py` alone; pydantic, orjson.
May touch: the network, through the `HttpTransport` it is given.
Guarantees: a call ends by its deadline; what may have taken effect is repeated only if it is idempotent or carries an
idempotency key; every error says whether the call may have taken effect.
"""

from hanse.client.errors import (
    CallFailure,
    InvalidResponse,
    ResponseTooLarge,
    TimedOut,
    Unanswered,
    Unreachable,
    UpstreamError,
)
from hanse.client.memory import MemoryNetwork, MemoryTransport
from hanse.client.options import Balancing, ClientOptions
from hanse.client.outliers import InstanceEjected, InstanceReturned, OutlierConfig
from hanse.client.pyreqwest import PyreqwestTransport
from hanse.client.response import Response
from hanse.client.service_client import ServiceClient
from hanse.client.snapshot import ClientSnapshot
from hanse.client.sse import ServerSentEvent
from hanse.client.streamed import StreamedResponse
from hanse.client.targets import TargetSnapshot
from hanse.client.transport import (
    AnswerTooLarge,
    HttpRequest,
    HttpResponse,
    HttpStream,
    HttpTransport,
    TransportFailure,
)
from hanse.client.verbs import Verbs

__all__ = [
    "AnswerTooLarge", "Balancing", "CallFailure", "ClientOptions", "ClientSnapshot", "HttpRequest", "HttpResponse",
    "HttpStream", "HttpTransport", "InstanceEjected", "InstanceReturned", "InvalidResponse", "MemoryNetwork",
    "MemoryTransport", "OutlierConfig", "PyreqwestTransport", "Response", "ResponseTooLarge", "ServerSentEvent",
    "ServiceClient", "StreamedResponse", "TargetSnapshot", "TimedOut", "TransportFailure", "Unanswered", "Unreachable",
    "UpstreamError", "Verbs",
]  # fmt: skip
