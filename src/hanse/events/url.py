"""Choosing a transport by URL. Backends are imported when they are chosen."""

from urllib.parse import urlsplit

from hanse.core import Env
from hanse.core.errors import ConfigurationError
from hanse.events.contract import Transport


def transport_from_url(env: Env, url: str, name: str) -> Transport:
    """The transport for a URL, not yet started.

    Args:
        env: the node's seams.
        url: `memory://name` (one broker per name and event loop) or `nats://[user:password@]host:port`.
        name: of the client, as the server and its operators see it: the service's name.

    Raises:
        ConfigurationError: an unknown scheme.
    """
    parts = urlsplit(url)
    if parts.scheme == "memory":
        from hanse.events.memory import MemoryTransport

        return MemoryTransport(env, parts.netloc)
    if parts.scheme in ("nats", "tls"):
        from hanse.events.nats import NatsTransport

        return NatsTransport(env, url, name=name)
    raise ConfigurationError(f'no event transport for "{parts.scheme}://": use memory:// or nats://')
