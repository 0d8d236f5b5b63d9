"""Why a token request is sent once more within the same fetch: what a new assertion or proof mends by itself. Pure."""

from typing import Literal

from proxy.tokens.answer import Answer, error_of
from proxy.tokens.failure import is_about_clocks, is_refusal, is_spent

Reason = Literal["nonce", "clock", "spent"]


def reason_to_repeat(answer: Answer, *, signs: bool) -> Reason | None:
    """
    Return why a new proof or assertion would be taken, None if it would not; *signs* tells whether there was one.

    `nonce`: the server wants the one that came with the answer (RFC 9449 8). `clock`: its clock differs, and the answer
    tells what it says. `spent`: an id was used before.
    """
    error, description = error_of(answer)
    if error == "use_dpop_nonce":
        return "nonce" if answer.bind is not None and "dpop-nonce" in answer.headers else None
    if not signs:
        return None
    if is_about_clocks(description):
        return "clock" if "date" in answer.headers else None
    return "spent" if is_spent(description) else None


def refuses_credential(answer: Answer) -> bool:
    """Tell whether another secret or key may be what the server wants."""
    error, description = error_of(answer)
    return error == "invalid_client" and is_refusal(answer.status, error, description)
