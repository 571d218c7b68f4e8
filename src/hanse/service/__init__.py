"""Service: one process of a system: a FastAPI application with health, problems, drain, events, sagas and identity.

Purpose: `Service`, what its handlers ask for (`Session`, `User`, `Caller`), and the server that runs it.
May import: every room below; FastAPI, Granian. `wiring.py` is the one place that builds the parts.
May touch: what its parts touch; `server.py` also the listening socket and the process's signals.
Guarantees: a write is committed before its response leaves; errors are problem documents without internals; told to
stop, it leaves the registry, finishes what it has in hand within its grace, and ends.
"""

from hanse.service.dependencies import Caller, MaybeUser, Session, User
from hanse.service.routes import Router
from hanse.service.service import Service

__all__ = ["Caller", "MaybeUser", "Router", "Service", "Session", "User"]
