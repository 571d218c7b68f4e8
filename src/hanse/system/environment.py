"""What every child is told: the `HANSE_*` variables that `hanse.config.ServiceSettings` reads, in any language."""

from dataclasses import dataclass

from hanse.system.identity import Keys
from hanse.system.state import StateFolder
from hanse.system.topology import ServiceRef, System

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Environment:
    """Makes a child's variables. The service's own `env` of the topology has the last word."""

    system: System
    state: StateFolder
    keys: Keys
    broker_url: str
    grace_s: float

    def of(self, service: ServiceRef, instance: str, port: int) -> dict[str, str]:
        """The variables of one process."""
        issuer = self.system.trusted
        found = {
            "HANSE_SERVICE": service.name,
            "HANSE_INSTANCE": instance,
            "HANSE_SYSTEM": self.system.name,
            "HANSE_ENVIRONMENT": "development",
            "HANSE_HOST": HOST,
            "HANSE_PORT": str(port),
            "HANSE_DATABASE_URL": self.state.database(service.name),
            "HANSE_BROKER_URL": self.broker_url,
            "HANSE_REGISTRY_URL": self.broker_url,
            "HANSE_AUDIENCE": self.system.name,
            "HANSE_JWKS_FILE": str(self.keys.jwks_file),
            "HANSE_SERVICE_TOKEN": self.keys.token(service.name),
            "HANSE_LOG_FORMAT": "json",
            "HANSE_GRACE_S": str(self.grace_s),
        }
        if issuer is not None:
            found["HANSE_ISSUER"] = issuer.name
            if issuer.service == service.name:
                found["HANSE_JWT_PRIVATE_KEY_FILE"] = str(self.keys.issuer_file)
        return found | dict(service.env)
