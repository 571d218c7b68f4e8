"""The shop's topology: which services there are, and what reaches them from outside."""

import os

from hanse import System

LOGIN_LIMIT = os.environ.get("SHOP_LOGIN_LIMIT", "600/minute per ip")
"""Generous, because tests, demo and load come from one address."""
PASSWORD_LIMIT = os.environ.get("SHOP_PASSWORD_LIMIT", "10/minute per user")
"""Strict: who has a token must not try out passwords with it."""
ORDER_LIMIT = os.environ.get("SHOP_ORDER_LIMIT", "600/minute per user")

system = System("shop")

users = system.service("shop.users.app:service")
catalog = system.service("shop.catalog.app:service")
inventory = system.service("shop.inventory.app:service")
cart = system.service("shop.cart.app:service")
orders = system.service("shop.orders.app:service", replicas=2)
payments = system.service("shop.payments.app:service")
notifications = system.service("shop.notifications.app:service")

gateway = system.gateway(port=8080, jwt=system.issuer(users))

gateway.route("/api/auth", users, strip="/api")
gateway.route("=/api/auth/login", users, strip="/api", limit=LOGIN_LIMIT)
gateway.route("/api/users", users, strip="/api", auth=True)
gateway.route("=/api/users/me/password", users, strip="/api", auth=True, limit=PASSWORD_LIMIT)
gateway.route("=/.well-known/jwks.json", users)

gateway.route("/api/products", catalog, strip="/api")
gateway.route("/api/categories", catalog, strip="/api")

gateway.route("/api/inventory", inventory, strip="/api")
gateway.route("=/api/inventory/stream", inventory, strip="/api", stream=True)

gateway.route("/api/cart", cart, strip="/api", auth=True)

gateway.route("/api/orders", orders, strip="/api", auth=True, limit=ORDER_LIMIT)
gateway.route("/api/orders/{id}/events", orders, strip="/api", auth=True, stream=True)

gateway.route("/api/notifications", notifications, strip="/api", auth=True)
gateway.route("=/api/notifications/ws", notifications, strip="/api", stream=True)
