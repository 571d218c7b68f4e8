"""`ServiceSettings`: the contract between the platform and each service process (12-factor, any language)."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from hanse.config.base import Settings

MEBIBYTE = 1 << 20


class ServiceSettings(Settings):
    """What `hanse up`, a container platform or a person tells a service, as `HANSE_*` variables.

    The defaults run a single service on its own: no system, no gateway, an in-memory broker and registry.
    """

    model_config = SettingsConfigDict(env_prefix="HANSE_")

    service: str = ""
    """The name it is registered by; empty takes the name given to `Service(...)`."""
    instance: str = ""
    """Unique among the instances of the service; empty makes one up."""
    system: str = "local"
    environment: str = "development"

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    """0 takes a free port."""
    listen_fd: int | None = Field(default=None, ge=0)
    """A listening socket inherited from the supervisor; then `host` and `port` only say where it is bound."""

    database_url: str | None = None
    broker_url: str = "memory://"
    registry_url: str = ""
    """Empty takes `broker_url`."""

    issuer: str | None = None
    """Whose user tokens count: the `iss` claim, for example `shop/users`."""
    audience: str | None = None
    jwks_file: Path | None = None
    """The public keys of user and service tokens."""
    jwt_private_key_file: Path | None = None
    """Only for the service that issues tokens."""
    service_token: SecretStr | None = None
    """Proof of this service's identity, sent to other services."""

    otlp_endpoint: str | None = None
    """Base URL of an OTLP/HTTP receiver; None keeps traces in the process."""
    trace_sample: float = Field(default=1.0, ge=0.0, le=1.0)
    """Share of the traces begun here that are recorded."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "text"] = "json"

    grace_s: float = Field(default=10.0, ge=0.0)
    """The longest that requests in flight may take once the process was told to stop."""
    body_limit_bytes: int = Field(default=MEBIBYTE, ge=0)

    load_shedding: bool = True
    """Refuse requests with 503 that exceed what can be served without queueing for long."""
    concurrency_minimum: int = Field(default=100, ge=1)
    """So many requests at once are never too many. Lower it where one request computes for more than a few ms."""
    concurrency_maximum: int = Field(default=5000, ge=1)

    @model_validator(mode="after")
    def _registry_follows_broker(self) -> Self:
        if not self.registry_url:
            object.__setattr__(self, "registry_url", self.broker_url)
        return self
