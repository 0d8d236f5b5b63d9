"""The listeners' sockets: both loopback families with one number, and a line for each reason why not."""

import errno
import socket
from contextlib import ExitStack

import pytest
from structlog.testing import capture_logs

from proxy.binding import _bind_all, _reason, bind, port_of
from proxy.errors import StartError


def closing(sockets: list[socket.socket]) -> ExitStack:
    """Return what closes *sockets* at its end."""
    stack = ExitStack()
    for sock in sockets:
        stack.enter_context(sock)
    return stack


def test_localhost_is_both_families_with_one_number():
    """Whoever resolves `localhost` to either family reaches us, and nobody else can sit on the other."""
    sockets = bind("localhost", 0, "listen")
    with closing(sockets):
        port = port_of(sockets)
        assert [sock.getsockname()[:2] for sock in sockets] == [("127.0.0.1", port), ("::1", port)]
        assert port > 0
        for sock in sockets:
            assert not sock.getblocking()
            with socket.create_connection(sock.getsockname()[:2], timeout=5):
                pass


@pytest.mark.parametrize(("host", "families"), [("127.0.0.1", [socket.AF_INET]), ("::1", [socket.AF_INET6])])
def test_one_address_is_one_socket(host: str, families: list[socket.AddressFamily]):
    """A literal address is bound as it is."""
    sockets = bind(host, 0, "listen")
    with closing(sockets):
        assert [sock.family for sock in sockets] == families


def test_the_unspecified_ipv6_address_serves_both_families():
    """`::` takes IPv4 too, as a published container port needs it; `::1` does not."""
    sockets = bind("::", 0, "listen")
    with closing(sockets):
        with socket.create_connection(("127.0.0.1", port_of(sockets)), timeout=5):
            pass
        assert sockets[0].getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 0


@pytest.mark.parametrize("taken", ["127.0.0.1", "::1"])
def test_a_port_that_is_taken_in_one_family_is_taken(taken: str):
    """A stranger on one family would get what callers of `localhost` send us: it is fatal, and nothing stays open."""
    family = socket.AF_INET6 if ":" in taken else socket.AF_INET
    other = "127.0.0.1" if ":" in taken else "::1"
    with socket.socket(family) as stranger:
        stranger.bind((taken, 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        with pytest.raises(StartError, match=rf"port {port} is in use on localhost: .* --port or listen\.port"):
            bind("localhost", port, "listen")
        with closing(bind(other, port, "listen")):
            pass


def test_a_machine_without_ipv6_listens_on_ipv4():
    """Where the second family cannot be had at all, it is a warning."""
    with capture_logs() as logs:
        # An address that no machine has: documentation, RFC 3849.
        sockets = _bind_all([(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "2001:db8::1")], 0)
    with closing(sockets):
        assert [sock.family for sock in sockets] == [socket.AF_INET]
    assert logs == [{"event": "no_ipv6", "address": "2001:db8::1", "log_level": "warning"}]


def test_an_address_of_another_machine():
    """The message names the key and the address."""
    with pytest.raises(StartError, match=r"^admin\.host: 192\.0\.2\.1 is not an address of this machine$"):
        bind("192.0.2.1", 0, "admin")


@pytest.mark.parametrize(
    ("number", "section", "message"),
    [
        (errno.EADDRINUSE, "listen", "port 80 is in use on a: choose another with --port or listen.port, or stop what"),
        (errno.EADDRINUSE, "admin", "port 80 is in use on a: choose another with admin.port, or stop what listens"),
        (errno.EACCES, "listen", "port 80 may not be opened by this user: choose one above 1023 with listen.port"),
        (errno.EADDRNOTAVAIL, "listen", "listen.host: a is not an address of this machine"),
        (errno.ENETDOWN, "admin", "admin.host: cannot listen on a: Network is down"),
    ],
)
def test_each_reason_is_one_line(number: int, section: str, message: str):
    """Why a listener cannot be opened is one line that names the key to change."""
    reason = _reason(OSError(number, "x"), "a", 80, section)
    assert reason.startswith(message)
    assert "\n" not in reason
