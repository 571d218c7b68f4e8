"""Registry: which instances of which service are alive, and where.

Purpose: register, discover and watch instances, behind one contract.
May import: core, config, broker; orjson. The NATS client is known to `broker` alone.
May touch: the network, through the registry chosen by URL.
Guarantees: a watcher always gets the full current set; what it knows is kept while the server is away; an instance that
stops renewing is gone after its time to live.
"""

from hanse.registry.contract import Capability, Instance, OnChange, Registry, Watch
from hanse.registry.url import from_url

__all__ = ["Capability", "Instance", "OnChange", "Registry", "Watch", "from_url"]
