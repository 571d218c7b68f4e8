"""`Settings`: the base class of everything that is read from the environment."""

from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from hanse.core.errors import ConfigurationError


class Settings(BaseSettings):
    """Typed settings from arguments, environment variables and `.env`, in this order of precedence.

    A service declares its own by subclassing with a prefix:

        class ShopSettings(Settings, env_prefix="SHOP_"):
            currency: str = "EUR"

    Values are frozen once read. Variables that no field names are ignored.

    Raises:
        ConfigurationError: a value is missing or wrong; one line per field, named as the variable to set.
    """

    model_config = SettingsConfigDict(env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            lines = [self._explain(problem["loc"], problem["msg"]) for problem in error.errors(include_input=False)]
            raise ConfigurationError("\n".join(lines), settings=type(self).__name__) from None

    @classmethod
    def _explain(cls, location: tuple[int | str, ...], message: str) -> str:
        """One line for a person: which variable, and what is wrong with it (never the value, it may be a secret)."""
        name = ".".join(map(str, location))
        variable = f"{cls.model_config.get('env_prefix', '')}{name}".upper()
        return f"{variable}: {message[:1].lower()}{message[1:]}" if name else message
