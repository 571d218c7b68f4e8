"""Key files: read into the model before it is compiled, and watched for the next change."""

from dataclasses import replace
from pathlib import Path

from hanse.core.errors import ConfigurationError
from hanse.gateway.model import GatewayModel, JwtProvider


def with_keys(model: GatewayModel) -> GatewayModel:
    """The model with the text of every key file in place of its path.

    Raises:
        ConfigurationError: a file can't be read; says which, and of which provider.
    """
    return replace(model, providers=tuple(_loaded(provider) for provider in model.providers))


def fingerprint(model: GatewayModel) -> tuple[bytes | None, ...]:
    """What the key files hold at the moment, to be compared with a later moment; None for one that can't be read."""
    return tuple(_content(provider.jwks) for provider in model.providers if isinstance(provider.jwks, Path))


def _loaded(provider: JwtProvider) -> JwtProvider:
    if not isinstance(provider.jwks, Path):
        return provider
    text = _content(provider.jwks)
    if text is None:
        raise ConfigurationError(f"provider {provider.name!r}: the key file {provider.jwks} can't be read")
    return replace(provider, jwks=text.decode(errors="replace"))


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
