"""What is no request, and what it is answered: from the parser's errors to ours. Pure."""

from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage

from proxy.errors import BadRequestError, HeadTooLargeError, TargetTooLongError, VersionNotSupportedError


def head_length(message: RawRequestMessage) -> int:
    """Return how many bytes of target and header lines *message* has."""
    return len(message.path) + sum([len(name) + len(value) + 4 for name, value in message.raw_headers])


def refusal(error: Exception, head_size: int) -> BadRequestError:
    """Return what the parser's *error* is to the client. Nothing of the request is in it."""
    if isinstance(error, BadRequestError):
        return error
    if isinstance(error, LineTooLong):
        # The listener gives lines one byte less than header fields, so that the two can be told apart.
        if error.args[1] == head_size:
            return TargetTooLongError("The request line is larger than limits.head_size.")
        return HeadTooLargeError("A header line is larger than limits.head_size.")
    reason = _reason(error)
    for start, kind, detail in _REASONS:
        if reason.startswith(start):
            return kind(detail)
    return BadRequestError("The request is not valid HTTP/1.1.")


def _reason(error: Exception) -> str:
    """Return the parser's reason, without the bytes of the request that it quotes behind it."""
    message = str(getattr(error, "message", ""))
    return message.removeprefix("Bad status line:\n  ").partition(":\n")[0]


_MALFORMED = "A header line is malformed."
_FRAMING = "The body's framing (Content-Length, Transfer-Encoding, chunks) is malformed."
_TARGET = "The URL has characters that must be percent-encoded, or is none."
_REASONS: tuple[tuple[str, type[BadRequestError], str], ...] = (
    ("Invalid HTTP version", VersionNotSupportedError, "Only HTTP/1.0 and HTTP/1.1 are spoken here."),
    ("Pause on PRI", VersionNotSupportedError, "HTTP/2 is not spoken here, only HTTP/1.0 and HTTP/1.1."),
    ("Too many headers", HeadTooLargeError, "The request has too many header lines."),
    ("Missing 'Host'", BadRequestError, "The request has no Host header, which HTTP/1.1 demands."),
    ("Duplicate Content-Length", BadRequestError, _FRAMING),
    ("Duplicate", BadRequestError, "A header that may stand once stands there twice."),
    ("Received HTTPS", BadRequestError, "This is TLS, and plain HTTP is spoken here: call http://, not https://."),
    ("Invalid method", BadRequestError, "The method is not known here. Methods are written in capital letters."),
    ("Invalid character in chunk", BadRequestError, _FRAMING),
    ("Invalid char", BadRequestError, _TARGET),
    ("Expected HTTP/", BadRequestError, "The request line is malformed. A blank in the URL is written as %20."),
    ("Expected CRLF", BadRequestError, "Lines must end with CR and LF."),
    ("Invalid header", BadRequestError, _MALFORMED),
    ("Unexpected whitespace", BadRequestError, _MALFORMED),
    ("Content-Length", BadRequestError, _FRAMING),
    ("Transfer-Encoding", BadRequestError, _FRAMING),
    ("Request has invalid `Transfer-Encoding`", BadRequestError, _FRAMING),
)
"""How the parser's reasons begin (llhttp's and aiohttp's own), and what they mean. The first that fits."""
