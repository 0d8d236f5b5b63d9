"""A token request as it arrived, and what it is judged by."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from proxy.emulator.client import Client
from proxy.emulator.freshness import Nonces, Spent
from proxy.emulator.jose import SYMMETRIC, Jwt, read
from proxy.emulator.manner import OKTA, Manner


@dataclass(frozen=True, kw_only=True)
class Call:
    """A token request. The secret is in it, so it has no `repr` of its content."""

    authorization: tuple[str, ...] = ()
    """The values of all `Authorization` headers."""
    proofs: tuple[str, ...] = ()
    """The values of all `DPoP` headers."""
    query: tuple[tuple[str, str], ...] = ()
    form: tuple[tuple[str, str], ...] = ()
    url: str = ""
    """What was called, as the client wrote it, without the query."""

    def __repr__(self) -> str:
        return f"<Call {self.method}>"

    def value(self, name: str) -> str:
        """Return the form parameter *name*, `""` if it is absent: an empty one counts as absent (RFC 6749 3.2)."""
        return dict(self.form).get(name, "")

    @cached_property
    def assertion(self) -> Jwt | None:
        """What the client assertion says, None without one that is a JWT. Not verified."""
        return read(self.value("client_assertion"))

    @cached_property
    def proof(self) -> Jwt | None:
        """What the DPoP proof says, None without exactly one that is a JWT. Not verified."""
        return read(self.proofs[0]) if len(self.proofs) == 1 else None

    @property
    def method(self) -> str:
        """How the client authenticates: a method's name as in RFC 7591, `client_assertion`, `none`, or `several`."""
        found = [
            name
            for name, there in (
                ("client_secret_basic", bool(self.authorization)),
                ("client_secret_post", bool(self.value("client_secret"))),
                (self._assertion_method, bool(self.value("client_assertion"))),
            )
            if there
        ]
        if found == ["client_secret_basic"] and self.value("client_id"):
            # Okta refuses even a `client_id` beside the header that has it already.
            return "several"
        return found[0] if len(found) == 1 else "several" if found else "none"

    @property
    def _assertion_method(self) -> str:
        if self.assertion is None:
            return "client_assertion"
        return "client_secret_jwt" if self.assertion.algorithm in SYMMETRIC else "private_key_jwt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How the authorization server is set up at this moment, for the one client there is."""

    client: Client
    scopes: tuple[str, ...]
    default_scopes: tuple[str, ...] = ()
    audience: str = "api://default"
    policy: bool = True
    """Whether an access policy with a rule for this client exists."""
    dpop_required: bool = False
    org: bool = False
    """Whether this is Okta's own authorization server, the one without an id."""
    issuer: str = ""
    manner: Manner = OKTA
    now: float = 0.0
    """Seconds since the epoch, by the server's clock."""
    assertions: Spent = field(default_factory=Spent)
    proofs: Spent = field(default_factory=Spent)
    nonces: Nonces | None = None
    """None: proofs need no nonce."""


class Grant(NamedTuple):
    """A token is due, for *scopes*, bound to the key with this *thumbprint* (RFC 7638) if there is one."""

    scopes: tuple[str, ...]
    thumbprint: str | None = None
