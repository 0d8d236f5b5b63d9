"""
URLs and host names as the configuration accepts them: strict, so that one text has one meaning for everybody.

Messages never quote the text: what stands in an URL may be a password.
"""

import re

from proxy.config.settings import Url

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?P<fragment>#.*)?"
)
_PATH = re.compile(r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)*")
"""RFC 3986 3.3, path-abempty."""
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
"""An underscore is no host name's, but compose services have it."""
_LOOPBACK_4 = re.compile(r"127(?:\.[0-9]{1,3}){3}")


def parse_url(text: str, *, schemes: tuple[str, ...] = ("https", "http"), parts: tuple[str, ...] = ()) -> Url:
    """
    Return *text* as an `Url`; ValueError says what is wrong with it and how to mend it.

    *parts* names what is accepted (and dropped) beyond scheme, host, port and path: `query`, `userinfo`.
    """
    _check_characters(text)
    match = _URL.fullmatch(text)
    if match is None or match["scheme"].lower() not in schemes:
        raise ValueError("must begin with " + " or ".join(f"{scheme}://" for scheme in schemes))
    _, at, address = match["authority"].rpartition("@")
    if at and "userinfo" not in parts:
        raise ValueError("must not contain a user name or a password: remove what stands before the @")
    if match["query"] is not None and "query" not in parts:
        raise ValueError("must not contain a query: remove the ? and what follows")
    if match["fragment"] is not None:
        raise ValueError("must not contain a fragment: remove the # and what follows")
    host, port = _split_address(address)
    scheme: str = match["scheme"].lower()
    default = 443 if scheme == "https" else 80
    return Url(
        scheme="https" if scheme == "https" else "http",
        host=parse_host(host),
        port=default if port is None else _parse_port(port),
        path=_parse_path(match["path"]),
    )


def parse_host(text: str) -> str:
    """
    Return a host name in lower case or an IP literal in its usual form, without brackets.

    ValueError for everything else, also for the numbers that resolvers take for addresses (`127.1`, `0x7f000001`).
    """
    _check_characters(text)
    if not text:
        raise ValueError("has no host name")
    if ":" in text:
        return _parse_ip6(text.removeprefix("[").removesuffix("]"))
    labels = text.lower().split(".")
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]):
        return _parse_ip4(text)
    if len(text) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("has no valid host name: letters, digits and hyphens, with single dots between")
    return ".".join(labels)


def is_loopback(host: str) -> bool:
    """Tell whether *host*, as `parse_host` gives it, is this machine for sure: `localhost`, 127.0.0.0/8 or ::1."""
    return host in ("localhost", "::1") or _LOOPBACK_4.fullmatch(host) is not None


def reaches(host: str, listener: str) -> bool:
    """Tell whether connecting to *host* ends at a listener on *listener* (both as `parse_host` gives them)."""
    if listener in ("0.0.0.0", "::"):
        return is_loopback(host) or host in ("0.0.0.0", "::", listener)
    return not _addresses(host).isdisjoint(_addresses(listener))


def _addresses(host: str) -> set[str]:
    """Return what *host* stands for. Connecting to an unspecified address is connecting to loopback."""
    known = {"localhost": {"127.0.0.1", "::1"}, "0.0.0.0": {"127.0.0.1"}, "::": {"127.0.0.1", "::1"}}
    return known.get(host, {host})


def _check_characters(text: str) -> None:
    if re.search(r"[\x00-\x20\x7f]", text):
        raise ValueError("must not contain a blank, a line break or a control character")
    if not text.isascii():
        raise ValueError("must be ASCII: write a host name in its xn-- form, other characters percent-encoded")


def _split_address(address: str) -> tuple[str, str | None]:
    """Return host and port of `host[:port]`, the port as text, None if there is none."""
    match = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(?::([^:]*))?", address)
    if match is None:
        raise ValueError("has an address that is not host:port; an IPv6 address stands in brackets, [::1]")
    return match[1], match[2]


def _parse_port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise ValueError("has a port that is not a number from 1 to 65535")
    return int(text)


def _parse_path(text: str) -> str:
    """Return the path byte for byte, without slashes at its end."""
    if not _PATH.fullmatch(text):
        raise ValueError("has a path with a character that needs percent-encoding")
    if any(segment.lower().replace("%2e", ".") in (".", "..") for segment in text.split("/")):
        raise ValueError("has a path with . or .. in it: write the path that is meant")
    return text.rstrip("/")


def _parse_ip4(text: str) -> str:
    import ipaddress  # noqa: PLC0415  # only for literals

    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise ValueError("has no valid IPv4 address: four decimal numbers, as in 127.0.0.1") from None


def _parse_ip6(text: str) -> str:
    import ipaddress  # noqa: PLC0415  # only for literals

    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        raise ValueError("has no valid IPv6 address, or a port where only a host may stand") from None
    if address.ipv4_mapped is not None:
        raise ValueError("has an IPv4 address in IPv6 form: write the IPv4 address itself")
    if address.scope_id is not None:
        raise ValueError("has an IPv6 address with a zone (%): zones are not supported")
    return str(address)
