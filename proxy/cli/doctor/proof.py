"""Why an API refuses the proof that goes with a bound token (DPoP, RFC 9449 4.3 and 9), and not the token. Pure."""

from collections.abc import Sequence

from proxy.forwarding.challenge import USE_NONCE

INVALID = "invalid_dpop_proof"

_RULES = (
    (
        b"htu",
        "the API knows the address that was called by another name",
        "Write upstream.url as the API knows it: scheme, host and path; something between may change them.",
    ),
    (
        b"htm",
        "another method reached the API than the one that was sent",
        "What lies between the proxy and the API changes the request.",
    ),
    (
        b"ath",
        "the proof is for another token than the one that reached the API",
        "Does something between change the Authorization header? See inject.header and upstream.headers.",
    ),
    (
        b"already been used",
        "the API has seen this proof before",
        "Does something between repeat requests? Each proof is made for one request.",
    ),
    (
        b"algorithm",
        "the API takes no proofs that are signed with ES256",
        "Set oauth.dpop: false, if the API takes bearer tokens too.",
    ),
    *(
        (
            word,
            "the API's clock and the token endpoint's differ",
            "Compare the clocks: this machine's is above, the API's is its owner's to check.",
        )
        for word in (b"in the future", b"in the past", b"iat", b"expired", b"not active")
    ),
    (
        b"not bound",
        "the token is bound to another key than the proof's",
        "Does something between change the DPoP header, or the Authorization header?",
    ),
)


def is_meant(errors: set[str] | None) -> bool:
    """Tell whether an answer with these errors in its challenge is about the proof."""
    return bool(errors and errors & {INVALID, USE_NONCE})


def cause(challenges: Sequence[bytes], errors: set[str], *, is_repeated: bool) -> tuple[str, str]:
    """Return why, and what to do; *is_repeated* tells that the proof had the nonce that the API gave before."""
    if USE_NONCE in errors and is_repeated:
        return (
            "the API asks for a nonce again, though the proof had the one that it gave",
            "Is it several servers behind one name, which do not know each other's nonces?",
        )
    if USE_NONCE in errors:
        return "the API asks for a nonce and gives none (DPoP-Nonce)", "That is its owner's to mend (RFC 9449 9)."
    said = b", ".join(challenges).lower()
    for word, why, remedy in _RULES:
        if word in said:
            return why, remedy
    return "the API does not take the proof", "Does something between change the request or its DPoP header?"
