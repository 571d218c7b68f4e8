"""Hanse: a microservices platform for Python.

The public door. Names are loaded on first use, so that `import hanse` and `hanse --help` stay fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hanse.durable import SagaContext, saga, step
    from hanse.events import Envelope, event
    from hanse.service import Caller, Service, Session, User
    from hanse.system import System

__version__ = "0.1.0"

_DOORS = {
    "Caller": "hanse.service",
    "Envelope": "hanse.events",
    "SagaContext": "hanse.durable",
    "Service": "hanse.service",
    "Session": "hanse.service",
    "System": "hanse.system",
    "User": "hanse.service",
    "event": "hanse.events",
    "saga": "hanse.durable",
    "step": "hanse.durable",
}

__all__ = ["Caller", "Envelope", "SagaContext", "Service", "Session", "System", "User", "event", "saga", "step"]


def __getattr__(name: str) -> Any:
    if name not in _DOORS:
        raise AttributeError(f"module 'hanse' has no attribute {name!r}")
    return getattr(import_module(_DOORS[name]), name)
