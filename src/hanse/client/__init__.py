"""Client: calling another service as if it were one reliable thing.

Purpose: `ServiceClient`: discovery, balancing, deadline, retry where safe, breaker per instance, identity, traces.
May import: core, resilience, telemetry, registry; pyreqwest in `pyreqwest.py` alone; pydantic, orjson.
May touch: the network, through the `HttpTransport` it is given.
Guarantees: a call ends by its deadline; what may have taken effect is repeated only if it is idempotent or carries an
idempotency key; every error says whether the call may have taken effect.
"""

from hanse.client.errors import InvalidResponse, UpstreamError
from hanse.client.memory import MemoryNetwork, MemoryTransport
from hanse.client.options import ClientOptions
from hanse.client.pyreqwest import PyreqwestTransport
from hanse.client.response import Response
from hanse.client.service_client import ServiceClient
from hanse.client.targets import TargetSnapshot
from hanse.client.transport import HttpRequest, HttpResponse, HttpTransport, TransportFailure

__all__ = [
    "ClientOptions",
    "HttpRequest",
    "HttpResponse",
    "HttpTransport",
    "InvalidResponse",
    "MemoryNetwork",
    "MemoryTransport",
    "PyreqwestTransport",
    "Response",
    "ServiceClient",
    "TargetSnapshot",
    "TransportFailure",
    "UpstreamError",
]
