"""The configuration: `load` turns YAML, environment and flags into frozen `Settings`, or names every problem."""

from proxy.config.credentials import LEAST_SECRET
from proxy.config.environment import has_environment_keys
from proxy.config.issuer import okta_token_url
from proxy.config.json_schema import schema
from proxy.config.loading import Loaded, find, load
from proxy.config.outbound import outbound_proxy
from proxy.config.settings import (
    Admin,
    Assertion,
    AuthMethod,
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
from proxy.config.urls import is_loopback, parse_host, parse_url

__all__ = [
    "LEAST_SECRET",
    "Admin",
    "Assertion",
    "AuthMethod",
    "Guard",
    "Inject",
    "Lifecycle",
    "Limits",
    "Listen",
    "Loaded",
    "Log",
    "OAuth",
    "Secret",
    "Settings",
    "Upstream",
    "Url",
    "find",
    "has_environment_keys",
    "is_loopback",
    "load",
    "okta_token_url",
    "outbound_proxy",
    "parse_host",
    "parse_url",
    "schema",
]
