"""Core: the seams and the few value types every other room stands on.

Purpose: errors, clock, randomness, ids, tasks, request context, the component lifecycle.
May import: the standard library only.
May touch: nothing; time, entropy, threads and tasks are reached through `Env` alone.
Guarantees: a process built from one `Env` can run on virtual time, deterministically from a seed.
"""

from hanse.core.clock import Clock, SystemClock
from hanse.core.component import Component
from hanse.core.context import Principal, RequestContext, current, use
from hanse.core.env import Env
from hanse.core.ids import Ids
from hanse.core.random import Random
from hanse.core.scope import Scope

__all__ = [
    "Clock",
    "Component",
    "Env",
    "Ids",
    "Principal",
    "Random",
    "RequestContext",
    "Scope",
    "SystemClock",
    "current",
    "use",
]
