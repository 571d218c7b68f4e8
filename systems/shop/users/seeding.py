"""First start: the first admin."""

from base64 import urlsafe_b64encode

from shop.users import accounts
from shop.users.domain import ADMIN, CUSTOMER, EmailTaken, normalise_email
from shop.users.service import service
from shop.users.store import account_by_email


@service.on_start
async def make_admin() -> None:
    """Make sure that there is an admin. A made-up password is printed once, by the replica that made the account."""
    email = normalise_email(service.settings.admin_email)
    async with service.database.read() as db:
        if await account_by_email(db, email) is not None:
            return
    given = service.settings.admin_password
    made_up = urlsafe_b64encode(service.env.random.secret(12)).decode()
    try:
        await accounts.register(email, given.get_secret_value() if given else made_up, "Admin", [CUSTOMER, ADMIN])
    except EmailTaken:
        return  # another replica was faster
    if given is None:
        service.log.warning(f"admin account {email} made, its password is {made_up} (shown this once)")
    else:
        service.log.info(f"admin account {email} made, its password is SHOP_ADMIN_PASSWORD")
