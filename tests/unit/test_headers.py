"""Which header lines travel: the tables of `proxy.forwarding.headers`."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.forwarding.headers import (
    HOP_BY_HOP,
    Classifier,
    Kind,
    RequestHeaders,
    classify,
    connection_options,
    is_chunked_only,
    join_lines,
)

PLAIN = (b"X-Foo", b"1")


def kept(*lines: tuple[bytes, bytes], injected: str = "Authorization") -> list[tuple[bytes, bytes]]:
    """Return the lines that are forwarded."""
    return RequestHeaders(lines, Classifier(injected)).kept


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (b"X-Foo", Kind.PLAIN),
        (b"Cookie", Kind.PLAIN),
        (b"Content-Type", Kind.PLAIN),
        (b"X-Forward", Kind.PLAIN),
        (b"Forwarded-X", Kind.PLAIN),
        (b"Proxy-Features", Kind.PLAIN),
        (b"Authorization-Context", Kind.PLAIN),
        (b"Host", Kind.HOST),
        (b"CONNECTION", Kind.CONNECTION),
        (b"content-length", Kind.CONTENT_LENGTH),
        (b"Transfer-encoding", Kind.TRANSFER_ENCODING),
        (b"Expect", Kind.EXPECT),
        (b"origin", Kind.ORIGIN),
        (b"Sec-Fetch-Site", Kind.FETCH_SITE),
        (b"Access-Control-Request-Method", Kind.PREFLIGHT),
        (b"Via", Kind.VIA),
        (b"Upgrade", Kind.UPGRADE),
        (b"te", Kind.TE),
        (b"Sec-WebSocket-Key", Kind.WEBSOCKET_KEY),
        *[(name, Kind.DROP) for name in sorted(HOP_BY_HOP - {b"connection", b"transfer-encoding", b"upgrade", b"te"})],
        (b"Forwarded", Kind.DROP),
        (b"X-Forwarded-For", Kind.DROP),
        (b"x_forwarded_for", Kind.DROP),
        (b"X-Forwarded_Anything", Kind.DROP),
        (b"X-Real-IP", Kind.DROP),
        (b"X_Real_IP", Kind.DROP),
        (b"Proxy", Kind.DROP),
        (b"Proxy_Authorization", Kind.DROP),
        (b"DPoP", Kind.DROP),
        (b"dpop", Kind.DROP),
        (b"Authorization", Kind.INJECTED),
        (b"authorization", Kind.INJECTED),
        (b"AUTHORIZATION", Kind.INJECTED),
        (b"Authorization_", Kind.INJECTED),
        (b"_Authorization", Kind.INJECTED),
    ],
)
def test_every_name_has_one_meaning(name: bytes, kind: Kind):
    """A header's kind depends on its name alone, in any case, with `_` for `-` where servers cannot tell them apart."""
    assert classify(name, b"authorization") is kind
    assert Classifier("Authorization")(name) is kind


@pytest.mark.parametrize("name", [b"X-Api_Token", b"x_api_token", b"X-API-TOKEN"])
def test_the_injected_header_can_be_another(name: bytes):
    """With another `inject.header` its spellings are the injected ones, and Authorization is a header like others."""
    classifier = Classifier("X_Api-Token")
    assert classifier(name) is Kind.INJECTED
    assert classifier(b"Authorization") is Kind.PLAIN


def test_the_memory_of_names_is_bounded():
    """Neither many names nor long ones make the memory of spellings grow beyond its bound."""
    classifier = Classifier("Authorization")
    for number in range(2 * Classifier.LARGEST):
        classifier(b"X-%d" % number)
    assert len(classifier._known) == Classifier.LARGEST
    fresh = Classifier("Authorization")
    assert fresh(b"X-" + b"a" * 10_000) is Kind.PLAIN
    assert not fresh._known


@pytest.mark.parametrize(
    "lines",
    [
        [(b"Connection", b"x-foo"), PLAIN],
        [PLAIN, (b"Connection", b"X-FOO")],
        [(b"Connection", b""), PLAIN, (b"Connection", b"close, x-foo")],
        [(b"Connection", b" ,, x-foo ,\t"), PLAIN],
        [(b"connection", b"close,\tx-foo"), PLAIN, PLAIN],
    ],
)
def test_what_connection_names_is_gone(lines: list[tuple[bytes, bytes]]):
    """All Connection lines count, whatever their order, their case and their empty elements."""
    assert kept(*lines, (b"X-Bar", b"2")) == [(b"X-Bar", b"2")]


def test_the_rest_keeps_spelling_order_and_number():
    """What is kept has its bytes, its order and its duplicates."""
    lines = [(b"cOOkie", b"a=1"), (b"X", b""), (b"Cookie", b"b=2"), (b"X", b"caf\xe9"), (b"Via", b"1.1 a")]
    assert kept(*lines) == lines


def test_what_decides_is_noted():
    """One pass finds everything that the rules look at."""
    found = RequestHeaders(
        [
            (b"Host", b"a"),
            (b"Host", b"b"),
            (b"Content-Length", b"1"),
            (b"Transfer-Encoding", b"chunked"),
            (b"Expect", b"100-continue"),
            (b"Expect", b"x"),
            (b"Origin", b"null"),
            (b"Sec-Fetch-Site", b"none"),
            (b"Sec-Fetch-Site", b"cross-site"),
            (b"Access-Control-Request-Method", b"PUT"),
            (b"Via", b"1.1 a"),
            (b"authorization", b"Basic x"),
        ],
        Classifier("Authorization"),
    )
    assert found.hosts == [b"a", b"b"]
    assert found.content_lengths == [b"1"]
    assert found.codings == [b"chunked"]
    assert found.expect == b"100-continue, x"
    assert found.origin
    assert found.preflight
    assert found.fetch_site == b"none, cross-site"
    assert found.vias == [b"1.1 a"]
    assert found.authorization == [(b"authorization", b"Basic x")]
    assert [name for name, _ in found.kept] == [
        b"Origin",
        b"Sec-Fetch-Site",
        b"Sec-Fetch-Site",
        b"Access-Control-Request-Method",
        b"Via",
    ]


@pytest.mark.parametrize(
    ("codings", "expected"),
    [
        ([b"chunked"], True),
        ([b" Chunked\t"], True),
        ([b"gzip, chunked"], False),
        ([b"chunked, chunked"], False),
        ([b"chunked", b"chunked"], False),
        ([b"", b"chunked"], False),
        ([b"chunked,"], False),
        ([b"identity"], False),
        ([b"xchunked"], False),
        ([b"\x0bchunked"], False),
        ([b""], False),
        ([], False),
    ],
)
def test_only_chunked_alone_is_chunked(codings: list[bytes], expected: bool):
    """A coding before, behind or around `chunked` makes a body that we cannot frame."""
    assert is_chunked_only(codings) is expected


def test_connection_options_gather():
    """Options of several lines come together in lower case."""
    options = connection_options(b"Close, X-A")
    assert connection_options(b"x-b,,", options) == {b"close", b"x-a", b"x-b"}


def test_lines_are_joined_as_they_are():
    """Each line has its CRLF and its bytes."""
    assert join_lines([(b"A", b""), (b"b", b"\xff")]) == b"A: \r\nb: \xff\r\n"


NAMES = st.sampled_from(
    [b"Authorization", b"authorization", b"Authorization_", b"DPoP", b"X-Forwarded-For", b"Connection", b"X-A", b"Host"]
)
VALUES = st.sampled_from([b"", b"x-a", b"authorization", b"host, content-length", b"close", b"Bearer stolen"])


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_nothing_forbidden_survives_any_combination(lines: list[tuple[bytes, bytes]]):
    """Whatever the lines say, no credential, forwarding or hop-by-hop line is among those that are kept."""
    found = RequestHeaders(lines, Classifier("Authorization"))
    assert {name for name, _ in found.kept} <= {b"X-A"}
    if found.kept:
        assert not any(b"x-a" in value for name, value in lines if name == b"Connection")
