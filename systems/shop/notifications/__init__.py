"""Notifications: tells people what happened, once, where they look.

Purpose: turns events into messages by templates, keeps them with their read state, pushes them live.
May import: hanse's public doors and the shop's own small modules.
May touch: its own database.
Guarantees: one notification per (order, status), however often an event arrives.
"""
