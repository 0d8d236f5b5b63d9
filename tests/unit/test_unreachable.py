"""What each way of not reaching the upstream is called, and what is read of an outbound proxy's answer."""

import socket
import ssl

import pytest
from kit import url

from proxy.config.outbound import read_proxy
from proxy.errors import UpstreamTimeoutError
from proxy.forwarding.tunnel import OutboundProxyError, connect_request, tunnel_status
from proxy.forwarding.unreachable import tls_failure, translate


def alert(reason: str) -> ssl.SSLError:
    """Return OpenSSL's error for an alert that came."""
    error = ssl.SSLError(1, f"[SSL: {reason}] (_ssl.c:1000)")
    error.reason = reason
    return error


DIRECT = [
    (ssl.SSLCertVerificationError("x"), "tls_certificate_error", "upstream.ca_file"),
    (ssl.SSLError("x"), "tls_protocol_error", "https address"),
    (alert("WRONG_VERSION_NUMBER"), "tls_protocol_error", "https address"),
    (alert("TLSV13_ALERT_CERTIFICATE_REQUIRED"), "tls_protocol_error", "upstream.client_cert_file"),
    (alert("TLSV1_ALERT_UNKNOWN_CA"), "tls_protocol_error", "upstream.client_cert_file"),
    (alert("SSLV3_ALERT_CERTIFICATE_EXPIRED"), "tls_protocol_error", "upstream.client_cert_file"),
    (alert("SSLV3_ALERT_HANDSHAKE_FAILURE"), "tls_protocol_error", "upstream.client_cert_file"),
    (socket.gaierror(-2, "x"), "dns_error", "upstream.url"),
    (ConnectionRefusedError("x"), "connection_refused", "upstream.url"),
    (TimeoutError(110, "x"), "connection_timeout", "upstream.url"),
    (OSError(101, "Network is unreachable"), "connection_terminated", "upstream.url"),
    (ConnectionResetError("x"), "connection_terminated", "upstream.url"),
]


@pytest.mark.parametrize(("error", "proxy_status", "key"), DIRECT)
def test_each_failure_has_a_name(error: OSError, proxy_status: str, key: str):
    """A failure to connect becomes RFC 9209's word for it, in our own words and with no word of the exception."""
    translated = translate(error)
    assert translated.proxy_status == proxy_status
    assert key in translated.detail
    assert str(error) not in translated.detail
    assert "outbound proxy" not in translated.detail


@pytest.mark.parametrize(
    ("error", "proxy_status"),
    [
        (OutboundProxyError("unreachable", cause=socket.gaierror(-2, "x")), "dns_error"),
        (OutboundProxyError("unreachable", cause=ConnectionRefusedError("x")), "connection_refused"),
        (OutboundProxyError("unreachable", cause=TimeoutError(110, "x")), "connection_timeout"),
        (OutboundProxyError("unreachable", cause=ssl.SSLCertVerificationError("x")), "tls_certificate_error"),
        (OutboundProxyError("unreachable", cause=ssl.SSLError("x")), "tls_protocol_error"),
        (OutboundProxyError("unreachable", cause=ConnectionResetError("x")), "connection_terminated"),
        (OutboundProxyError("refused", status=407), "proxy_configuration_error"),
        (OutboundProxyError("refused", status=403), "connection_refused"),
        (OutboundProxyError("refused", status=502), "destination_unavailable"),
        (OutboundProxyError("refused", status=504), "connection_timeout"),
        (OutboundProxyError("refused", status=101), "http_protocol_error"),
        (OutboundProxyError("garbled"), "http_protocol_error"),
        (OutboundProxyError("spoke"), "http_protocol_error"),
        (OutboundProxyError("closed"), "connection_terminated"),
        (ConnectionResetError("x"), "connection_terminated"),
        (ssl.SSLError("x"), "tls_protocol_error"),
        (ssl.SSLCertVerificationError("x"), "tls_certificate_error"),
    ],
)
def test_what_may_be_the_proxys_fault_says_so(error: Exception, proxy_status: str):
    """Whatever goes wrong at the outbound proxy or behind it names the proxy, and how to change it."""
    translated = translate(error, is_proxied=True)
    assert translated.proxy_status == proxy_status
    assert "outbound proxy" in translated.detail
    assert "upstream.proxy" in translated.detail or "upstream.ca_file" in translated.detail
    assert isinstance(translated, UpstreamTimeoutError) is (proxy_status == "connection_timeout")


def test_tls_that_fails_after_the_handshake_has_the_same_words():
    """With TLS 1.3 a missing client certificate is told later: it is the same failure."""
    assert "upstream.client_cert_file" in tls_failure(alert("TLSV13_ALERT_CERTIFICATE_REQUIRED")).detail


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"HTTP/1.1 200 Connection established", 200),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5", 200),
        (b"HTTP/1.0 407", 407),
        (b"HTTP/2.0 200 OK", 0),
        (b"HTTP/1.1 2000 OK", 0),
        (b"HTTP/1.1 20 OK", 0),
        (b"", 0),
    ],
)
def test_the_outbound_proxys_status_is_read(head: bytes, expected: int):
    """What is not HTTP/1.x has no status."""
    assert tunnel_status(head) == expected


@pytest.mark.parametrize(
    ("proxy", "lines"),
    [
        ("http://p:1", b""),
        ("http://u:p@p:1", b"Proxy-Authorization: Basic dTpw\r\n"),
        ("https://u@p", b"Proxy-Authorization: Basic dTo=\r\n"),
    ],
)
def test_a_tunnel_is_asked_for_by_host_and_port(proxy: str, lines: bytes):
    """CONNECT names host and port, an IPv6 address in brackets; credentials go along only if there are any."""
    request = connect_request(url("https://[::1]:8443/v1"), read_proxy(proxy))
    assert request == b"CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\n" + lines + b"\r\n"
