"""The step that compares this machine's clock with the token endpoint's. Pure."""

from email.utils import parsedate_to_datetime

from proxy.cli.doctor.report import Verdict, failed, passed, skipped, warned

STEP = "clock"
TOLERANCE = 60.0
"""Seconds that JWT checks commonly allow (RFC 7519 4.1.4 speaks of a few minutes at most)."""


def offset(date: str, sent: float, received: float) -> float | None:
    """
    Return by how many seconds the server's clock is ahead of ours, None if *date*, its `Date` header, is no date.

    *sent* and *received* are the moments around the request on our wall clock; the answer was made between the two,
    so what lies between them, give or take the second to which a `Date` is cut, is no difference.
    """
    try:
        there = parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    if there < sent - 1:
        return there - sent
    return there - received if there > received else 0.0


_SET = "Set this machine's clock (NTP: `timedatectl set-ntp true`; a virtual machine or WSL may have slept)."


def judge(ahead: float | None, *, minded: bool = False) -> Verdict:
    """
    Return the verdict on the server's clock being *ahead* of ours by so many seconds; None: it did not say.

    *minded* tells that it refused what was signed by our clock, and took what was signed by its own.
    """
    if ahead is None:
        return skipped(STEP, "the token endpoint's answer has no Date")
    if abs(ahead) < 1 and not minded:
        return passed(STEP, "this machine agrees with the token endpoint to the second")
    side = "behind" if ahead > 0 else "ahead of"
    text = f"this machine is {_spoken(abs(ahead))} {side} the token endpoint"
    went = "It refused what was signed by this clock; the proxy goes by the endpoint's from then on."
    if abs(ahead) <= TOLERANCE:
        return warned(STEP, text, went, _SET) if minded else passed(STEP, text)
    far = "Between clocks that far apart, tokens are taken for expired, or for not valid yet."
    return failed(STEP, text, *([went] if minded else []), far, _SET)


def _spoken(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172800 else f"{seconds / 86400:.0f} days"
