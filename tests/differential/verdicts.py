"""Whether what became of a payload is what had to. Pure."""

from canonical import Request, variables
from kit import Message
from payloads import Payload
from recording import Outcome

TOKEN = b"Bearer token-1"
OURS = {
    b"HTTP_AUTHORIZATION": b"authorization",
    b"HTTP_HOST": b"host",
    b"HTTP_CONTENT_LENGTH": b"content-length",
    b"HTTP_TRANSFER_ENCODING": b"transfer-encoding",
    b"HTTP_CONNECTION": b"connection",
    b"HTTP_PROXY": b"",
}
"""What servers of the CGI kind must not be made to believe: a variable's one name, empty if it has none."""
SENTINEL = b"GET /sentinel"


def faults(payload: Payload, outcome: Outcome, host: bytes) -> list[str]:
    """Return what is wrong with *outcome*; *host* is the upstream's."""
    found = [repr(each) for each in outcome.broken]
    for request in outcome.forwarded:
        found += request_faults(request, host)
    seen = [request.seen.short for request in outcome.forwarded]
    if seen and seen[-1] == SENTINEL:
        seen.pop()
    if seen != list(payload.seen):
        found.append(f"forwarded {seen}, not {list(payload.seen)}")
    if told_of(outcome.answers) != [named(request) for request in outcome.forwarded]:
        found.append("the answers are not the requests'")
    return [f"{payload.name}: {fault}" for fault in found + ending_faults(payload, outcome.answers)]


def request_faults(request: Request, host: bytes) -> list[str]:
    """Return what is wrong with a request that was forwarded."""
    found = []
    if request.seen.hosts != (host,):
        found.append(f"it went to {request.seen.hosts}")
    if request.seen.authorizations != (TOKEN,):
        found.append(f"it carried {request.seen.authorizations}")
    names = [name.lower() for name, _ in request.lines]
    pairs = zip(names, variables(request.lines), strict=True)
    return found + [f"{name!r} passes for {OURS[made]!r}" for name, made in pairs if name != OURS.get(made, name)]


def ending_faults(payload: Payload, answers: list[Message]) -> list[str]:
    """Return what is wrong with how the client's connection ended: our refusal, the sentinel's answer, or a close."""
    refusals = [answer for answer in answers if answer.value(b"x-seen") is None]
    found = [f"{each.status} is not ours" for each in refusals if not is_ours(each)]
    if payload.refused and len(refusals) != 1:
        found.append(f"refused {len(refusals)} times")
    if not payload.refused and len(refusals) > payload.cut:
        found.append(f"answered with {refusals[0].status}")
    if payload.ends and SENTINEL in told_of(answers):
        found.append("the connection went on, and something is lost")
    if not payload.cut and (not answers or answers[-1].value(b"connection") != b"close"):
        found.append("the last answer does not say that it is the last")
    return found


def is_ours(answer: Message) -> bool:
    """Tell whether the proxy answered that by itself, in its own form."""
    return (
        400 <= answer.status < 600
        and answer.value(b"content-type") == b"application/problem+json"
        and answer.value(b"proxy-status") is not None
        and b"smuggled" not in answer.raw
    )


def told_of(answers: list[Message]) -> list[bytes]:
    """Return the requests that the upstream's answers tell of."""
    return [value for answer in answers if (value := answer.value(b"x-seen")) is not None]


def named(request: Request) -> bytes:
    """Return how the upstream's answer tells of *request*."""
    return request.seen.method + b" " + request.seen.target
