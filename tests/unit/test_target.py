"""Where a request goes: the tables of `proxy.forwarding.target`."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import BadRequestError, HostNotAllowedError
from proxy.forwarding.target import Target, is_ambiguous, is_within, outbound_target, parse_target


@pytest.mark.parametrize(
    "raw",
    [
        b"/",
        b"//evil/p",
        b"//u@evil:1/p",
        b"/\\evil/p",
        b"///evil",
        b"/p?",
        b"/p?a=b?c&&=",
        b"/;p=1",
        b'/a|b{c}^"<>',
        b"/a%2Fb%3Fc%41%7e%25%2520/%zz/%?x=%26%3D+%20&y=a%2Bb;c",
        b"/http://evil/",
        b"/..;/%2e%2e",
    ],
)
def test_origin_form_is_a_path_byte_for_byte(raw: bytes):
    """Whatever begins with a slash is a path of the one upstream, never an address."""
    target = parse_target(raw, "GET")
    assert target == Target(raw, None)
    assert outbound_target(target, b"", names_upstream=False) == raw


@pytest.mark.parametrize(
    ("raw", "path", "authority"),
    [
        (b"http://localhost/p", b"/p", b"localhost"),
        (b"HTTP://LocalHost:8080/p?q", b"/p?q", b"LocalHost:8080"),
        (b"http://localhost", b"/", b"localhost"),
        (b"http://localhost?q", b"/?q", b"localhost"),
        (b"https://[::1]:1//x", b"//x", b"[::1]:1"),
        (b"http://user:pw@evil/p", b"/p", b"user:pw@evil"),
        (b"http:///p", b"/p", b""),
    ],
)
def test_absolute_form_is_taken_apart(raw: bytes, path: bytes, authority: bytes):
    """An absolute-form target has a path and an authority, which the guard judges."""
    assert parse_target(raw, "GET") == Target(path, authority)


@pytest.mark.parametrize(
    "raw",
    [
        *[b"/a%cb" % char for char in (*range(0x21), 0x7F, 0x80, 0xC3, 0xFF)],
        b"/p#frag",
        b"/p?#",
        b"",
        b"*",
        b"*/x",
        b"admin",
        b"@evil",
        b"evil/p",
        b"evil:80",
        b"\\evil",
    ],
)
def test_what_no_client_should_send_is_refused(raw: bytes):
    """Control characters, blanks, raw non-ASCII bytes, fragments and relative targets are bad requests."""
    with pytest.raises(BadRequestError):
        parse_target(raw, "GET")


@pytest.mark.parametrize("raw", [b"file:///etc/passwd", b"ftp://localhost/p", b"xhttp://localhost/"])
def test_another_scheme_is_another_host(raw: bytes):
    """Only http and https name this proxy's upstream."""
    with pytest.raises(HostNotAllowedError):
        parse_target(raw, "GET")


def test_the_asterisk_belongs_to_options():
    """`OPTIONS *` is forwarded as it is, never as `/`."""
    assert outbound_target(parse_target(b"*", "OPTIONS"), b"", names_upstream=False) == b"*"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/", b"/v1/"),
        (b"/items?x=/../y", b"/v1/items?x=/../y"),
        (b"//items", b"/v1//items"),
        (b"/a.b/..c/...", b"/v1/a.b/..c/..."),
        (b"/%41%20", b"/v1/%41%20"),
        (b"/items?q=%2F%5c%00%zz", b"/v1/items?q=%2F%5c%00%zz"),
        (b"/a;x=..", b"/v1/a;x=.."),
    ],
)
def test_the_base_path_stands_before_the_path(path: bytes, expected: bytes):
    """The base path and the client's bytes, nothing between them, and a query that may hold anything."""
    assert outbound_target(Target(path, None), b"/v1", names_upstream=False) == expected


AMBIGUOUS = [
    b"/..",
    b"/.",
    b"/./x",
    b"/../admin",
    b"/a/../../admin",
    b"/%2e%2e/admin",
    b"/%2E%2e/admin",
    b"/.%2e/admin",
    b"/%2e/x",
    b"/%252e%252e/",
    b"/%25252e%25252E/",
    b"/.%252e/",
    b"/..%2fadmin",
    b"/a%2Fb",
    b"/a%252fb",
    b"/..%5cx",
    b"/a%5Cb",
    b"/a%255cb",
    b"/a\\b",
    b"/..\\x",
    b"/..;/x",
    b"/..;a=b/x",
    b"/.;/x",
    b"/%2e%2e;x/y",
    b"/a%00b",
    b"/a%2500b",
    b"/%zz",
    b"/%",
    b"/%2",
    b"/a%g0",
]


@pytest.mark.parametrize("path", AMBIGUOUS)
def test_nothing_leads_out_of_the_base_path(path: bytes):
    """Dot segments, hidden separators and broken escapes are refused as soon as there is a base path to leave."""
    for tail in (b"", b"?q=1"):
        with pytest.raises(BadRequestError):
            outbound_target(Target(path + tail, None), b"/v1", names_upstream=False)
    assert outbound_target(Target(path, None), b"", names_upstream=False) == path


@pytest.mark.parametrize(
    ("path", "fits"),
    [
        (b"/v1", True),
        (b"/v1/", True),
        (b"/v1/x", True),
        (b"/v1?q", True),
        (b"/v10", False),
        (b"/v1;x", False),
        (b"/V1/x", False),
        (b"/", False),
        (b"/x/v1", False),
        (b"//v1/x", False),
    ],
)
def test_whole_segments_decide(path: bytes, fits: bool):
    """`/v1` does not hold `/v10`; a client that names the upstream itself gets its own path, or nothing."""
    assert is_within(path, b"/v1") is fits
    if fits:
        assert outbound_target(Target(path, b"api"), b"/v1", names_upstream=True) == path
    else:
        with pytest.raises(BadRequestError):
            outbound_target(Target(path, b"api"), b"/v1", names_upstream=True)


def test_the_asterisk_is_outside_every_base_path():
    """`OPTIONS *` asks about the whole server, which a base path does not give access to."""
    with pytest.raises(BadRequestError):
        outbound_target(Target(b"*", None), b"/v1", names_upstream=False)


PIECES = st.lists(st.sampled_from([b"/", b".", b"..", b"%2e", b"%2f", b"%25", b"\\", b";", b"a", b"%5c"]), max_size=8)


@settings(deadline=None)  # a busy machine is no failure
@given(PIECES)
def test_what_passes_stays_inside_however_it_is_decoded(pieces: list[bytes]):
    """Decoded up to four times and read with backslashes as slashes, a path that passes never climbs."""
    path = b"/v1/" + b"".join(pieces)
    if is_ambiguous(path):
        return
    for _ in range(4):
        segments = [segment.split(b";")[0] for segment in path.replace(b"\\", b"/").split(b"/")]
        assert b".." not in segments
        assert path.count(b"/") == (b"/v1/" + b"".join(pieces)).count(b"/")
        path = decoded(path)


def decoded(path: bytes) -> bytes:
    """Decode the escapes that matter once."""
    for code in (b"2e", b"2f", b"25", b"5c"):
        path = path.replace(b"%" + code, bytes([int(code, 16)]))
    return path
