"""System: a topology as Python, and the supervisor that runs it on one machine.

Purpose: `System` (services, gateway, routes), `load` (from a folder or a file), the supervisor behind `hanse up`.
May import: gateway, registry, security, config, core; hanse.service only inside the forked children.
May touch: processes, signals, sockets, the `.hanse/` folder beside the topology.
Guarantees: nothing starts before the topology is valid; whatever way it ends, no process, port or lock is left.
"""

from hanse.system.load import load
from hanse.system.topology import GatewaySpec, IssuerRef, RouteSpec, ServiceRef, System

__all__ = ["GatewaySpec", "IssuerRef", "RouteSpec", "ServiceRef", "System", "load"]
