"""A local reverse proxy that keeps an Okta access token fresh and adds it to every request."""

__version__ = "0.1.0"
