"""Why an API refuses a token that the authorization server gave: from its challenge (RFC 6750 3), and ours. Pure."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from proxy.cli.doctor import proof
from proxy.cli.doctor.report import Verdict, failed, warned
from proxy.tokens.failure import printable

STEP = "upstream"
_SERVER = "Okta: Security > API > Authorization Servers > your server"
_APP = "Okta: Applications > Applications > your app"
_REQUIRE = "Require Demonstrating Proof of Possession (DPoP) header in token requests"

_DPOP = re.compile(rb"(?:^|,)\s*dpop\b")
_BEARER = re.compile(rb"(?:^|,)\s*bearer\b")


class Subject(NamedTuple):
    """What is known of the token that was sent. `value` is it, to keep it out of what is said."""

    host: str
    """The upstream's."""
    value: str = ""
    issuer: str = ""
    audience: str = ""
    is_bound: bool = False
    """Whether a proof went with it (DPoP)."""
    is_okta: bool = True
    """Whether Okta issued it."""
    org_host: str | None = None
    """The Okta org's, if its own authorization server issued it."""

    def __repr__(self) -> str:
        return f"<Subject of {self.host}>"


class _Rule(NamedTuple):
    word: str
    """Stands in the challenge, in lower case."""
    cause: str
    remedy: str


_RULES = (
    _Rule(
        "audience",
        "the token is for another audience than the API's{aud}",
        "Set the Audience that the API expects{settings}, or use the server that is meant for this API.",
    ),
    _Rule(
        "issuer",
        "the API trusts another issuer than the token's{iss}",
        "Set oauth.issuer to the authorization server that the API trusts, or have the API trust this one.",
    ),
    _Rule(
        "expired",
        "the API takes the token for expired, though it is new",
        "Compare the clocks: the token endpoint's and this machine's are above, the API's is its owner's to check.",
    ),
    _Rule(
        "revoked",
        "the token was revoked, though it is new",
        "Is the app active?{app}",
    ),
    _Rule(
        "signature",
        "the API does not know the key that the token is signed with",
        "Have the API fetch the issuer's keys{iss}: its metadata names them (jwks_uri).",
    ),
)


def rejected(
    text: str,
    challenges: Sequence[bytes],
    errors: set[str] | None,
    subject: Subject,
    *,
    is_repeated: bool = False,
) -> Verdict:
    """Return the verdict on an answer that refuses the token as such, or its proof; *is_repeated*: after a nonce."""
    said = _shown(challenges, subject)
    if subject.is_bound and proof.is_meant(errors):
        cause, remedy = proof.cause(challenges, errors or set(), is_repeated=is_repeated)
        what = "it refuses the proof (DPoP) that went with the token, and not the token"
    else:
        cause, remedy = _cause(challenges, errors, subject)
        what = "the token endpoint gave the token, and the API does not take it"
    lines = [f"That is the API's own answer: {what}.", f"Likely cause: {cause}. {remedy}", *_qualys(subject)]
    return failed(STEP, f"{text}, {said}", *lines)


def forbidden(text: str, challenges: Sequence[bytes], errors: set[str] | None, subject: Subject) -> Verdict:
    """Return the verdict on a 403: the token lacks a scope, or this one request is not allowed."""
    if errors and "insufficient_scope" in errors:
        return failed(
            STEP,
            f"{text}, {_shown(challenges, subject)}",
            "The token lacks a scope: add it to oauth.scopes, and allow it "
            + (f"in the access policy ({_SERVER})." if subject.is_okta else "at the server that issues the tokens."),
        )
    return warned(
        STEP,
        f"{text}: it can be reached, and does not allow this request",
        "That may be so for this path alone: ask it for something that you know to be allowed.",
        "Else the client lacks a scope or a permission in the API, or the API misses a header (upstream.headers).",
    )


def _shown(challenges: Sequence[bytes], subject: Subject) -> str:
    if not challenges:
        return "without a WWW-Authenticate"
    text = ", ".join(value.decode("latin-1") for value in challenges)
    return f"with WWW-Authenticate: {printable(text, subject.value)}"


def _cause(challenges: Sequence[bytes], errors: set[str] | None, subject: Subject) -> tuple[str, str]:
    said = b", ".join(challenges).lower()
    mismatch = _mismatch(said, subject)
    if mismatch is not None:
        return mismatch
    if errors is None and challenges:
        return (
            "the API asks for another kind of credentials than Bearer tokens",
            "Is upstream.url the right address, and is access with this issuer's tokens switched on there?",
        )
    aud, iss = _in(subject.audience), _in(subject.issuer)
    settings, app = (f" ({_SERVER} > Settings)", f" ({_APP})") if subject.is_okta else ("", "")
    for rule in _RULES:
        if rule.word.encode() in said:
            return rule.cause.format(aud=aud, iss=iss), rule.remedy.format(iss=iss, settings=settings, app=app)
    held = " and ".join(part for part in (_is("issuer", subject.issuer), _is("audience", subject.audience)) if part)
    return (
        "the API expects another issuer or another audience" + (f"; the token's {held}" if held else ""),
        "Compare both with what the API's owner has set up, and ask whether such tokens are switched on there.",
    )


def _mismatch(said: bytes, subject: Subject) -> tuple[str, str] | None:
    """Return cause and remedy when the kind of token is wrong: another server's, or bound where it must not be."""
    if subject.org_host not in {None, subject.host}:
        return (
            "the token is from Okta's org authorization server, and only Okta's own APIs can check it",
            "Set oauth.issuer to a custom authorization server, {org}/oauth2/{id}.",
        )
    wants_dpop, wants_bearer = _DPOP.search(said) is not None, _BEARER.search(said) is not None
    if wants_dpop and not wants_bearer and not subject.is_bound:
        return (
            "the API wants a DPoP-bound token, and oauth.dpop is off",
            "Set oauth.dpop: true; or does the API take bearer tokens somewhere else?",
        )
    if wants_bearer and not wants_dpop and subject.is_bound:
        untick = f' (Okta: untick "{_REQUIRE}", {_APP} > General)' if subject.is_okta else ""
        return (
            "the API takes bearer tokens, and oauth.dpop gives it one that is bound to a key",
            f"Set oauth.dpop: false, and have the server give bearer tokens{untick}.",
        )
    if subject.is_bound and b"not dpop bound" in said:
        return (
            "the API misses the key in the token (cnf.jkt)",
            "Compare oauth.issuer: the server said that the token is bound, and did not bind it.",
        )
    if subject.is_bound and b"requires a dpop proof" in said:
        return "the proof did not reach the API", "Does something between the proxy and it drop the DPoP header field?"
    return None


def _in(value: str) -> str:
    return f" ({value})" if value else ""


def _is(name: str, value: str) -> str:
    return f"{name} is {value}" if value else ""


def _qualys(subject: Subject) -> list[str]:
    """Return what Qualys wants beyond a good token."""
    if not re.search(r"(?:^|\.)qualys(?:ksa)?\.", subject.host):
        return []
    return [
        "Qualys takes such tokens only after its Support has enabled OpenID Connect for the subscription,",
        "with this issuer, its keys and this audience; the token's sub must be the External ID of a Qualys user.",
    ]
