"""Why an API refuses a token that the authorization server gave: from its challenge (RFC 6750 3), and ours. Pure."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from proxy.cli.doctor.report import Verdict, failed, warned
from proxy.tokens.failure import printable

STEP = "upstream"
_SERVER = "Okta: Security > API > Authorization Servers > your server"

_DPOP = re.compile(rb"(?:^|,)\s*dpop\b")
_BEARER = re.compile(rb"(?:^|,)\s*bearer\b")


class Subject(NamedTuple):
    """What is known of the token that was sent. `value` is it, to keep it out of what is said."""

    host: str
    """The upstream's."""
    value: str = ""
    issuer: str = ""
    audience: str = ""

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
        f"Set the Audience that the API expects ({_SERVER} > Settings), or use the server that is meant for this API.",
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
        "Is the app active? (Okta: Applications > Applications > your app)",
    ),
    _Rule(
        "signature",
        "the API does not know the key that the token is signed with",
        "Have the API fetch the issuer's keys{iss}: its metadata names them (jwks_uri).",
    ),
)


def rejected(text: str, challenges: Sequence[bytes], errors: set[str] | None, subject: Subject) -> Verdict:
    """Return the verdict on an answer that refuses the token as such."""
    said = _shown(challenges, subject)
    cause, remedy = _cause(challenges, errors, subject)
    lines = [
        "That is the API's own answer: the token endpoint gave the token, and the API does not take it.",
        f"Likely cause: {cause}. {remedy}",
        *_qualys(subject),
    ]
    return failed(STEP, f"{text}, {said}", *lines)


def forbidden(text: str, challenges: Sequence[bytes], errors: set[str] | None, subject: Subject) -> Verdict:
    """Return the verdict on a 403: the token lacks a scope, or this one request is not allowed."""
    if errors and "insufficient_scope" in errors:
        return failed(
            STEP,
            f"{text}, {_shown(challenges, subject)}",
            f"The token lacks a scope: add it to oauth.scopes, and allow it in the access policy ({_SERVER}).",
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
    if _DPOP.search(said) and not _BEARER.search(said):
        return "the API wants a DPoP-bound token, and this proxy sends Bearer tokens", "Does it take these too?"
    if errors is None and challenges:
        return (
            "the API asks for another kind of credentials than Bearer tokens",
            "Is upstream.url the right address, and is access with this issuer's tokens switched on there?",
        )
    aud, iss = _in(subject.audience), _in(subject.issuer)
    for rule in _RULES:
        if rule.word.encode() in said:
            return rule.cause.format(aud=aud, iss=iss), rule.remedy.format(aud=aud, iss=iss)
    held = " and ".join(part for part in (_is("issuer", subject.issuer), _is("audience", subject.audience)) if part)
    return (
        "the API expects another issuer or another audience" + (f"; the token's {held}" if held else ""),
        "Compare both with what the API's owner has set up, and ask whether such tokens are switched on there.",
    )


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
