"""What is no request, and what it is answered: from the parser's errors to ours. Pure."""

from aiohttp.http_exceptions import BadStatusLine, LineTooLong
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
    text = str(error)
    if isinstance(error, BadStatusLine) and "Invalid HTTP version" in text:
        return VersionNotSupportedError("Only HTTP/1.0 and HTTP/1.1 are spoken here.")
    if "Too many headers" in text:
        return HeadTooLargeError("The request has too many header lines.")
    return BadRequestError("The request is not valid HTTP/1.1.")
