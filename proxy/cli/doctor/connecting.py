"""The steps before any request: does the name resolve, does TLS work. Shells around `network`, and their verdicts."""

import socket
import ssl
import time

from proxy.cli.doctor import certificates, network
from proxy.cli.doctor.network import Lookup
from proxy.cli.doctor.places import Place
from proxy.cli.doctor.report import Verdict, failed, passed, skipped
from proxy.config.client_certificate import ClientCertificateError
from proxy.forwarding.tls import tls_context
from proxy.forwarding.tunnel import OutboundProxyError

_MOST_ADDRESSES = 4


async def dns(place: Place, lookup: Lookup) -> Verdict:
    """Resolve the name of *place*, unless its outbound proxy does that."""
    if place.proxy is not None:
        via = f"the outbound proxy {place.proxy} resolves it ({place.proxy_key})"
        return skipped("dns", f"{place.name}: {via}")
    try:
        found = await network.resolve(place.url.host, lookup)
    except (OSError, UnicodeError) as error:
        return unresolved(place, error)
    more = ", ..." if len(found) > _MOST_ADDRESSES else ""
    return passed("dns", f"{place.name} is at {', '.join(found[:_MOST_ADDRESSES])}{more}")


def unresolved(place: Place, error: Exception) -> Verdict:
    """Return what a failure of the resolver means."""
    host, key = place.url.host, place.key
    through = "" if place.role == "upstream" else " Names that only an outbound proxy knows need oauth.proxy."
    if isinstance(error, TimeoutError):
        what, remedy = f"the resolver did not answer within {network.TIMEOUT:.0f} s", "Check the network's DNS servers."
    elif isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
        what, remedy = f"no DNS server answered for {host}", "Check the network and its DNS servers."
    else:
        what, remedy = (
            f"there is no such name as {host}",
            f"Check its spelling in {key}, or this network's DNS servers.",
        )
    return failed("dns", f"{place.name}: {what}", f"{remedy}{through}")


async def tls(place: Place) -> Verdict:
    """Make a TLS handshake with *place*, verified as the proxy verifies it."""
    if place.url.scheme == "http":
        return skipped("tls", f"{place.name} is plain http")
    try:
        context = tls_context(place.ca_file, place.cert_file, place.key_file)
    except ClientCertificateError as error:
        return failed("tls", f"{place.name}: {error.key} {error}", "Put a certificate and its key there (PEM).")
    except (OSError, ssl.SSLError):
        return failed("tls", f"{place.name}: {place.ca_key} cannot be used", "It must hold PEM certificates.")
    try:
        made = await network.handshake(place, context)
    except ssl.SSLCertVerificationError as error:
        return certificates.untrusted(place, error, await _certificate(place), time.time())
    except (OSError, OutboundProxyError) as error:
        return unconnected(place, error)
    return certificates.trusted(place, made.version, certificates.read(made.certificate), time.time())


async def _certificate(place: Place) -> certificates.Certificate | None:
    """Return the certificate of *place* without trusting it: it tells why it was refused."""
    try:
        made = await network.handshake(place, network.unverified())
    except (OSError, OutboundProxyError):
        return None
    return certificates.read(made.certificate)


def unconnected(place: Place, error: Exception) -> Verdict:
    """Return what a failure to connect or to speak TLS means."""
    what, remedy = _cause(place, error)
    return failed("tls", f"{place.name}: {what}", remedy)


def _cause(place: Place, error: Exception) -> tuple[str, str]:
    needs_proxy = "" if place.role == "upstream" else ", or whether an outbound proxy is needed (oauth.proxy)"
    if isinstance(error, OutboundProxyError):
        return _proxy_cause(place, error)
    if isinstance(error, TimeoutError):
        return f"no connection within {network.TIMEOUT:.0f} s", f"Check the network and its firewalls{needs_proxy}."
    if isinstance(error, ssl.SSLError):
        return "it does not speak TLS as it should", f"Is {place.key} an https address? Is the port the right one?"
    if place.proxy is not None:
        return f"the connection through the outbound proxy {place.proxy} broke", f"Check {place.key} and the proxy."
    if isinstance(error, ConnectionRefusedError):
        return "it refused the connection", f"Is it running there? Check the host and the port in {place.key}."
    return "the connection broke", f"Check {place.key} and the network{needs_proxy}."


def _proxy_cause(place: Place, error: OutboundProxyError) -> tuple[str, str]:
    if error.status == 407:
        return (
            f"the outbound proxy {place.proxy} wants credentials, or others (407)",
            f"Write them into {place.proxy_key}: http://user:password@host:port.",
        )
    if isinstance(error.cause, ssl.SSLCertVerificationError):
        return (
            f"the outbound proxy {place.proxy} has a certificate that is not trusted, or is not for this name",
            f"If it is signed by an authority of your own, give its root certificate (PEM) in {place.ca_key}.",
        )
    if error.what == "unreachable":
        return (
            f"the outbound proxy {place.proxy} cannot be reached",
            f"Check {place.proxy_key}; NO_PROXY has exceptions.",
        )
    said = f"answered {error.status}" if error.status else "did not answer as an HTTP proxy"
    return (
        f"the outbound proxy {place.proxy} {said} when asked for {place.url.authority}",
        f"Check {place.proxy_key}, and whether the proxy lets this host through; NO_PROXY has exceptions.",
    )
