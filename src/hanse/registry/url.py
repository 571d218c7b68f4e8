"""Choosing a registry by URL. Backends are imported when they are chosen."""

from urllib.parse import urlsplit

from hanse.core import Env
from hanse.core.errors import ConfigurationError
from hanse.registry.contract import Registry


def from_url(env: Env, url: str, *, heartbeat_s: float = 3.0, name: str = "registry") -> Registry:
    """The registry for a URL, not yet started.

    Args:
        env: the node's seams.
        url: `memory://name` (one registry per name and event loop) or `nats://[user:password@]host:port`.
        heartbeat_s: pause between renewals, ≥ 0.3. An instance that is not renewed any more is gone after three
            of them, rounded up to whole seconds.
        name: of the client, as the server and its operators see it; its rights may depend on it.

    Raises:
        ConfigurationError: an unknown scheme, or a heartbeat that is too fast.
    """
    if heartbeat_s < 0.3:
        raise ConfigurationError(f"registry heartbeat of {heartbeat_s} s is below 0.3 s")
    parts = urlsplit(url)
    if parts.scheme == "memory":
        from hanse.registry.memory import MemoryRegistry

        return MemoryRegistry(env, parts.netloc, heartbeat_s=heartbeat_s)
    if parts.scheme in ("nats", "tls"):
        from hanse.registry.nats import NatsRegistry

        return NatsRegistry(env, url, heartbeat_s=heartbeat_s, name=name)
    raise ConfigurationError(f'no service registry for "{parts.scheme}://": use memory:// or nats://')
