"""Config: what a process is told from outside, typed and checked before anything starts.

Purpose: `ServiceSettings` (what the platform tells every service) and `Settings` (a service's own).
May import: core, pydantic, pydantic-settings.
May touch: environment variables and the `.env` file of the working directory; reads only.
Guarantees: a wrong value is a `ConfigurationError` with one line per field; secrets do not show in `repr`.
"""

from hanse.config.base import Settings
from hanse.config.service import ServiceSettings

__all__ = ["ServiceSettings", "Settings"]
