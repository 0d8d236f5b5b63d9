"""The names of aiohttp that are not public and that `proxy.forwarding.connection` builds on: they must be there."""

import asyncio
import inspect
import re

import aiohttp
import pytest
from aiohttp import StreamReader, web, web_protocol
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import BadStatusLine, LineTooLong
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage

from proxy.forwarding import connection

SLOTS = (
    *("_messages", "_waiter", "_parser", "_upgraded", "_message_tail", "_request_in_progress", "_task_handler"),
    *("_force_close", "_paused", "_buffer_paused", "_max_msg_queue_size", "_msg_queue_resume_size"),
    *("_read_bufsize", "_request_count", "_manager", "_loop", "transport"),
)
"""Attributes of a connection that our code reads or writes."""

METHODS = (
    *(
        "_drain_helper",
        "_pause_reading_for_buffer",
        "_pause_transport_reading",
        "_resume_reading_if_drained",
        "force_close",
    ),
    *("start", "connection_made", "connection_lost", "data_received", "eof_received"),
)


def explain(what: str) -> str:
    """Say what to do when *what* is not as it was."""
    return (
        f"aiohttp {aiohttp.__version__} changed {what}: read its web_protocol.py beside "
        f"proxy/forwarding/connection.py before the version in pyproject.toml is raised."
    )


@pytest.mark.parametrize("name", SLOTS)
def test_an_attribute_is_there(name: str):
    """Each attribute of `RequestHandler` that we use is one of its slots."""
    slots = {slot for kind in web_protocol.RequestHandler.__mro__ for slot in getattr(kind, "__slots__", ())}
    assert name in slots, explain(f"RequestHandler.{name}")


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_there(name: str):
    """Each method of `RequestHandler` that we call or replace is one."""
    assert callable(getattr(web_protocol.RequestHandler, name, None)), explain(f"RequestHandler.{name}()")


def test_the_server_hands_over_what_we_need():
    """`web.Server` keeps the settings of connections and the connections themselves under the names we use."""

    async def unused(request: web.BaseRequest) -> web.StreamResponse:
        raise NotImplementedError(request)  # never called: no request is made

    async def look() -> tuple[object, object]:
        server = web.Server(unused, handler_cancellation=True, access_log=None)
        return server._kwargs, server._loop

    settings, loop = asyncio.run(look())
    assert settings == {"access_log": None}, explain("Server._kwargs")
    assert isinstance(loop, asyncio.AbstractEventLoop), explain("Server._loop")


def test_a_refusal_looks_as_we_make_it():
    """`_ErrInfo` has the three fields that we fill in."""
    assert list(inspect.signature(web_protocol._ErrInfo).parameters) == ["status", "exc", "message"], explain(
        "_ErrInfo"
    )


def test_the_parser_is_the_compiled_one():
    """The C parser is used: the one in Python had most of the smuggling flaws, and other messages."""
    assert HttpRequestParser.__module__ == "aiohttp._http_parser", explain("HttpRequestParser, or lacks its extension")
    for name in ("feed_data", "set_upgraded", "message_consumed", "pause_reading"):
        assert hasattr(HttpRequestParser, name), explain(f"HttpRequestParser.{name}")
    for name in ("method", "path", "version", "raw_headers", "should_close", "upgrade"):
        assert hasattr(RawRequestMessage, name), explain(f"RawRequestMessage.{name}")


def test_a_body_is_read_as_we_read_it():
    """The payload's calls are those that the exchange makes."""
    for name in ("is_eof", "at_eof", "readany", "read_nowait", "set_exception", "total_bytes"):
        assert hasattr(StreamReader(BaseProtocol(_Loop()), 1, loop=_Loop()), name), explain(f"StreamReader.{name}")


class _Loop:
    """Enough of a loop to make a `StreamReader` with."""


def test_errors_are_told_apart_as_we_do():
    """What the parser raises has the arguments and the texts that `refusal` looks at."""
    assert LineTooLong(b"x", 5).args[1] == 5, explain("LineTooLong.args")
    for data, text in (
        (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", "Invalid HTTP version"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 200 + b"\r\n", "Too many headers"),
    ):
        parser = HttpRequestParser(BaseProtocol(_Loop()), _Loop(), 2**16)
        with pytest.raises(Exception, match=text):
            parser.feed_data(data)
    assert issubclass(BadStatusLine, Exception)


def test_the_header_of_the_module_lists_them_all():
    """Every private name of `RequestHandler` that the code uses stands in the module's own list, and in this test's."""
    assert connection.__doc__ is not None
    used = set(re.findall(r"(?:self|connection)\.(_[a-z]\w+)", inspect.getsource(connection)))
    ours = set(vars(connection.ClientConnection))
    foreign = {name for name in used - ours if hasattr(web_protocol.RequestHandler, name)}
    assert foreign <= {*SLOTS, *METHODS}
    assert [name for name in sorted(foreign) if f"`{name}`" not in connection.__doc__] == []
