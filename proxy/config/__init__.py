"""The configuration: `load` turns YAML, environment and flags into frozen `Settings`, or names every problem."""

from proxy.config.settings import (
    Admin,
    Guard,
    Inject,
    Lifecycle,
    Limits,
    Listen,
    Log,
    OAuth,
    Secret,
    Settings,
    Upstream,
    Url,
)

__all__ = [
    "Admin",
    "Guard",
    "Inject",
    "Lifecycle",
    "Limits",
    "Listen",
    "Log",
    "OAuth",
    "Secret",
    "Settings",
    "Upstream",
    "Url",
]
