"""What can be set about the shop from outside, as `SHOP_*` variables or in `.env`."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from hanse.config import Settings


class ShopSettings(Settings):
    """One set for all services of the shop; each reads what concerns it."""

    model_config = SettingsConfigDict(env_prefix="SHOP_")

    currency: str = Field(default="EUR", pattern=r"^[A-Z]{3}$")
    seed: bool = True
    """Fill empty databases with the shop's first products and stock."""

    admin_email: str = "admin@shop.local"
    admin_password: SecretStr | None = None
    """Of the first admin; None makes one up and prints it once in the log."""
    access_token_s: float = Field(default=900.0, gt=0)
    refresh_token_s: float = Field(default=30 * 86_400.0, gt=0)

    reservation_s: float = Field(default=900.0, gt=0)
    """How long an order may hold stock before it is sure."""
    expiry_sweep_s: float = Field(default=5.0, gt=0)
    """Pause between looks for reservations whose time is over."""

    stripe_url: str | None = None
    """Base URL of a server that speaks the PaymentIntents protocol; None switches the provider off."""
    stripe_key: SecretStr | None = None
