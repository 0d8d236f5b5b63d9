"""What it means that the upstream cannot be reached, in our own words and RFC 9209's; an exception's are not shown."""

import socket
import ssl

from proxy.errors import UpstreamError, UpstreamTimeoutError
from proxy.forwarding.tunnel import OutboundProxyError

KEYS = "upstream.proxy or HTTPS_PROXY"
THROUGH_PROXY = f" It is reached through an outbound proxy ({KEYS})."

_ABOUT_OUR_CERTIFICATE = {
    # The alerts of RFC 8446 6.2 that are about the client's certificate, in OpenSSL's spelling.
    *("TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_BAD_CERTIFICATE", "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE"),
    *("SSLV3_ALERT_CERTIFICATE_REVOKED", "SSLV3_ALERT_CERTIFICATE_EXPIRED", "SSLV3_ALERT_CERTIFICATE_UNKNOWN"),
    *("TLSV1_ALERT_UNKNOWN_CA", "TLSV1_ALERT_ACCESS_DENIED"),
}


def translate(error: BaseException, *, is_proxied: bool = False) -> UpstreamError:
    """Return what a failure to connect means; *is_proxied* says that there is an outbound proxy on the way."""
    if isinstance(error, OutboundProxyError):
        return _proxy_failure(error)
    through = THROUGH_PROXY if is_proxied else ""
    if isinstance(error, ssl.SSLError):
        return tls_failure(error, through)
    if isinstance(error, socket.gaierror):
        return UpstreamError(
            "The name in upstream.url cannot be resolved. Check it, or the network.", proxy_status="dns_error"
        )
    if isinstance(error, ConnectionRefusedError):
        return UpstreamError(
            "The upstream refused the connection. Is it running at upstream.url?", proxy_status="connection_refused"
        )
    if isinstance(error, TimeoutError):
        return UpstreamTimeoutError(
            "The upstream did not answer when it was connected to. Check upstream.url, or the network.",
            proxy_status="connection_timeout",
        )
    return UpstreamError(f"The upstream could not be reached. Check upstream.url, or the network.{through}")


def tls_failure(error: ssl.SSLError, through: str = "") -> UpstreamError:
    """Return what a failure of TLS with the upstream means; with TLS 1.3 some come after the handshake."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return UpstreamError(
            "The upstream's TLS certificate is not trusted, or is not for this name. "
            f"If it is signed by a root of your own, give that in upstream.ca_file.{through}",
            proxy_status="tls_certificate_error",
        )
    # One that is made in Python has no reason.
    reason = getattr(error, "reason", None)
    if reason in _ABOUT_OUR_CERTIFICATE:
        detail = "The upstream wants a client certificate, or another one. Give it in upstream.client_cert_file."
    elif reason == "SSLV3_ALERT_HANDSHAKE_FAILURE":
        # TLS 1.2 has no word of its own for a certificate that is missing.
        detail = "The upstream refused the TLS handshake. If it wants a client certificate: upstream.client_cert_file."
    else:
        detail = f"TLS with the upstream failed. Is upstream.url an https address?{through}"
    return UpstreamError(detail, proxy_status="tls_protocol_error")


def _proxy_failure(error: OutboundProxyError) -> UpstreamError:
    if error.what == "unreachable":
        return _proxy_unreachable(error.cause)
    if error.what == "refused":
        return _refused(error.status)
    detail, proxy_status = {
        "closed": ("closed the connection instead of opening a tunnel", "connection_terminated"),
        "spoke": ("sent bytes of its own into the tunnel", "http_protocol_error"),
    }.get(error.what, ("did not answer as an HTTP proxy", "http_protocol_error"))
    return UpstreamError(f"The outbound proxy {detail}. Check {KEYS}.", proxy_status=proxy_status)


def _refused(status: int) -> UpstreamError:
    if status == 407:
        return UpstreamError(
            "The outbound proxy wants credentials, or others (407). Write them into "
            f"{KEYS}: http://user:password@host:port.",
            proxy_status="proxy_configuration_error",
        )
    if status == 504:
        return UpstreamTimeoutError(
            f"The outbound proxy ({KEYS}) did not reach the upstream in time (504).", proxy_status="connection_timeout"
        )
    kinds = {4: "connection_refused", 5: "destination_unavailable"}
    return UpstreamError(
        f"The outbound proxy answered {status} when it was asked for a tunnel to the upstream. Does it let this host "
        f"and port through? Check {KEYS}; NO_PROXY makes exceptions.",
        proxy_status=kinds.get(status // 100, "http_protocol_error"),
    )


def _proxy_unreachable(cause: OSError | None) -> UpstreamError:
    check = f"Check {KEYS}; NO_PROXY makes exceptions."
    if isinstance(cause, ssl.SSLCertVerificationError):
        return UpstreamError(
            "The outbound proxy's TLS certificate is not trusted, or is not for this name. If it is signed by a root "
            "of your own, give that in upstream.ca_file.",
            proxy_status="tls_certificate_error",
        )
    if isinstance(cause, ssl.SSLError):
        return UpstreamError(
            f"TLS with the outbound proxy failed. Is it an https:// proxy? {check}", proxy_status="tls_protocol_error"
        )
    if isinstance(cause, socket.gaierror):
        return UpstreamError(f"The name of the outbound proxy cannot be resolved. {check}", proxy_status="dns_error")
    if isinstance(cause, ConnectionRefusedError):
        return UpstreamError(f"The outbound proxy refused the connection. {check}", proxy_status="connection_refused")
    if isinstance(cause, TimeoutError):
        return UpstreamTimeoutError(f"The outbound proxy did not answer. {check}", proxy_status="connection_timeout")
    return UpstreamError(f"The outbound proxy could not be reached. {check}")
