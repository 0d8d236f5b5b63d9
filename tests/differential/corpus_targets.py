"""Payloads about request lines: methods, targets, versions, and hosts."""

from collections.abc import Iterator

from payloads import SMUGGLED, Payload, message, named, passes, refused, smuggling

PATHS = [
    *(b"/", b"//", b"///", b"/?", b"/?a", b"/??", b"/p?", b"/p?a=b?c&&=", b"/;p=1", b"/a;b/c;d", b"/a:b", b"/a@b"),
    *(b"/~u", b"//evil/p", b"//u@evil:1/p", b"///evil", b"/http://evil/", b"//evil", b"/@evil", b"/:80", b"/.evil"),
    *(b"/*", b"/&", b"/a%2Fb%3Fc%41%7e%25%2520?x=%26%3D+%20&y=a%2Bb;c", b"/a%2fb", b"/%41", b"/%7E", b"/a+b"),
    *(b"/a//b", b"/a/", b"/$", b"/index.php/.css", b"/a,b", b"/a'b", b"/(a)", b"/[a]", b"/[::1]", b"/a=b", b"/a!b"),
    *(b"/q?a[]=1&a[]=2", b"/?x=/../y", b"/?http://evil/", b"/?a=//evil", b"/?%0d%0aHost:%20evil"),
    *(b"/%0d%0aAuthorization:%20Basic%20x", b"/%C3%A9", b"/%ff", b"/" + b"a" * 4000, b"/" + b"a/" * 2000),
    *(b"/?" + b"q=1&" * 1000, b"/a" + b"%20" * 1000, b"/-", b"/_", b"/a.b.c"),
]
ODD_PATHS = [
    *(b"/..", b"/../", b"/a/../b", b"/a/./b", b"/.", b"/./", b"/%2e%2e/", b"/v1/../admin", b"/v1/%2e%2e/admin"),
    *(b"/..;/x", b"/v1/..%2fadmin", b"/v1/%252e%252e/", b"/v1/..%5cx", b"/%00", b"/a%00b", b"/%zz", b"/%", b"/%4"),
    *(b"/a%", b"/?%zz", b"/\\", b"/\\evil/p", b"/a\\b", b"/\\\\evil", b"/a|b{c}^", b'/"', b"/<>", b"/`", b"/^"),
    *(b"/{}", b"/|", b"/\\..\\x", b"/../../../../etc/passwd", b"/..\\..\\x", b"/....//", b"/%u002e"),
    *(b"/%c0%ae%c0%ae/", b"/%e5%98%8d%e5%98%8a"),
]
"""Paths that some origins refuse or take for another; the bytes pass, for a configured base path they would not."""
BAD_TARGETS = [
    *(b"", b"evil", b"evil/p", b"@evil", b"*", b"*/x", b"?", b"?a", b".", b"..", b"./", b"\\", b"\\\\evil", b":80"),
    *(b"localhost", b"localhost:80", b"localhost/", b"evil:443", b"[::1]:80", b"/p#frag", b"/p?#frag", b"/#", b"#"),
    *(b"/p#?x", b"/a b", b"/a\tb", b"/a\rb", b"/a\nb", b"/a\x00b", b"/a\x0bb", b"/a\x0cb", b"/a\x7fb", b"/\xff"),
    *(b"/caf\xc3\xa9", b"/\xa0", b"/\x85", "/\uff0e".encode(), "/\u2215".encode(), b"/a\x01", b"/\x1b[0m", b"\t/"),
    *(b"/\t", b"\x00/", b"/\x00", b"/ HTTP/1.1", b"/ HTTP/1.1 HTTP/1.1", b"/ x", b"/\rHTTP/1.1", b"/ HTTP/1.1\rX: y"),
    *(b"file:///etc/passwd", b"http:/x", b"http:x", b"http:", b"http:///x", b"http://", b"://x", b"javascript:x"),
    *(b"data:,x", b"http://localhost#@evil/", b"http://localhost/#x", b"http://local\xffhost/", b"http://local host/"),
    *(b"http://localhost:99999/", b"http://localhost:x/", b"http://u@localhost/", b"http://evil@localhost/"),
    *(b"http://localhost@evil/", b"http://localhost:80@evil/", b"http://localhost\\@evil/", b"http://localhost,evil/"),
    *(b"http://[::1/", b"http://[evil]/", b"http://localhost%2eevil/", b"http://localhost%00.evil/"),
    *(b"http://localhost:/", b"http://localhost:+80/", b"http://:80/", b"http//localhost/", b"htt\x00p://localhost/"),
    *(b"http://localhost\r\n/",),
]
ELSEWHERE = [
    *(b"http://evil/", b"https://evil/", b"http://localhost.evil/", b"http://127.1/", b"http://2130706433/"),
    *(b"http://0/", b"http://169.254.169.254/latest", b"ftp://localhost/", b"ws://localhost/", b"gopher://x/"),
    *(b"http://evil", b"http://evil?/", b"http://evil:80/", b"http://localhost./", b"http://0x7f.1/"),
    *(b"http://[::ffff:127.0.0.1]/", b"http://[::]/", b"http://-/"),
]
"""They are no mistakes, so the connection goes on behind their refusal, and nothing stands behind them here."""
ABSOLUTE = {
    b"http://localhost/p": b"/p",
    b"http://localhost": b"/",
    b"http://localhost?q": b"/?q",
    b"http://localhost/": b"/",
    b"http://localhost//evil/": b"//evil/",
    b"http://localhost/http://evil/": b"/http://evil/",
    b"http://LOCALHOST:8080/p?q#"[:-1]: b"/p?q",
    b"HTTP://localhost/p": b"/p",
    b"https://localhost/p": b"/p",
    b"http://127.0.0.1:1/p": b"/p",
    b"http://[::1]/p": b"/p",
}

METHODS = [
    *(b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"PROPFIND", b"PROPPATCH", b"MKCOL", b"COPY"),
    *(b"MOVE", b"LOCK", b"UNLOCK", b"SEARCH", b"BIND", b"REBIND", b"UNBIND", b"ACL", b"REPORT", b"MKACTIVITY"),
    *(b"CHECKOUT", b"MERGE", b"M-SEARCH", b"NOTIFY", b"SUBSCRIBE", b"UNSUBSCRIBE", b"PURGE", b"MKCALENDAR", b"LINK"),
    *(b"UNLINK", b"SOURCE", b"QUERY"),
]
BAD_METHODS = [
    *(b"get", b"Get", b"GeT", b"GETT", b"GE", b"G ET", b"G\tET", b"GET\x00", b"\x00GET", b"G\x00ET", b" GET"),
    *(b"\tGET", b"\x0bGET", b"FOO", b"FOO-BAR", b"X", b"CONNECT", b"TRACE", b"TRACK", b"DEBUG", b"PRI", b"SETUP"),
    *(b"PLAY", b"DESCRIBE", b"ANNOUNCE", b"TEARDOWN", b"GET_PARAMETER", b"REDIRECT", b"RECORD", b"FLUSH", b"PAUSE"),
    *(b"GET,POST", b"GET/", b"GET:", b"(GET)", b'"GET"', b"G\xc9T", b"GET\xa0", b"GET\x85", b"HTTP/1.1"),
    *(b"GET /a HTTP/1.1\r\nX: y\r\n\r\nGET", b"GET\r\n", b"GET\n", b"GET\r", b"-", b"0"),
]
VERSIONS = [
    *(b"HTTP/0.9", b"HTTP/1.2", b"HTTP/1.9", b"HTTP/2.0", b"HTTP/2", b"HTTP/3.0", b"HTTP/3", b"HTTP/1", b"HTTP/1."),
    *(b"HTTP/.1", b"HTTP/1.10", b"HTTP/1.11", b"HTTP/01.1", b"HTTP/1.01", b"HTTP/11.1", b"HTTP/1.1.1", b"HTTP/-1.1"),
    *(b"HTTP/+1.1", b"HTTP/1.-1", b"HTTP/1,1", b"HTTP/1 1", b"HTTP/ 1.1", b"HTTP /1.1", b"HTTP/1.1x", b"HTTP/1.1\t"),
    *(b"HTTP/1.1 x", b"HTTP/1.1\x00", b"HTTP/1.1\x0b", b"HTTP/1.1\r", b"HTTP/1.1\xa0", b"HTTP/x.y", b"HTTP/1.x"),
    *(b"HTTP/", b"HTTP", b"http/1.1", b"Http/1.1", b"hTTP/1.1", b"HTTPS/1.1", b"HTTTP/1.1", b"HTP/1.1", b"XHTTP/1.1"),
    *(b"RTSP/2.0", b"RTSP/0.9", b"ICE/1.0", b"ICE/1.1", b"ICE/2.0", b"ICY/1.0", b"SIP/2.0", b"SHTTP/1.1", b"UPNP/1.0"),
    *(b"HTTP/1.1;", b"HTTP/1.1,", "HTTP/\u0661.1".encode(), "HTTP/1.\uff11".encode(), b"HTTP\\1.1", b"1.1"),
    *(b"HTTP/1.1/x", b"HTTP/1.0x", b"HTTP/1.00", b"HTTP/10", b"HTTP/1/1", b"\x00HTTP/1.1", b"FTP/1.0", b"TLS/1.3"),
]
FIRST_LINES = [
    *(b"GET", b"GET ", b"GET /", b"GET / ", b"/ HTTP/1.1", b"HTTP/1.1", b"GET\t/\tHTTP/1.1", b"GET /\tHTTP/1.1"),
    *(b"GET\t/ HTTP/1.1", b"GET / HTTP/1.1 ", b"GET / \tHTTP/1.1", b"GET\x0b/ HTTP/1.1", b"GET\xa0/\xa0HTTP/1.1"),
    *(b"GET/ HTTP/1.1", b"GET /HTTP/1.1", b"HTTP/1.1 200 OK", b"HTTP/1.1 GET /", b"GET / HTTP/1.1 GET / HTTP/1.1"),
    *(b"x" * 100, b"GET / HTTP/1.1\x00", b"GET\r\n/ HTTP/1.1", b"GET \r\n/ HTTP/1.1", b"GET /\r\n HTTP/1.1", b"X: y"),
    *(b": y", b" ", b"\t", b"\x00", b"<a>", b"{}", b"GET / HTTP/1.1\r\n GET / HTTP/1.1"),
]

BAD_HOSTS = [
    *(b"", b" ", b"evil@localhost", b"localhost@evil", b"localhost, evil", b"localhost evil", b"localhost:80:80"),
    *(b"a b/../?x", b"localhost:99999", b"localhost:x", b"localhost:", b"localhost:-1", b"localhost:+80"),
    *(b"localhost: 80", b"localhost/x", b"localhost/", b"localhost?x", b"localhost#x", b"localhost\\evil"),
    *(b"http://localhost", b"//localhost", b"localhost;x", b"'localhost'", b'"localhost"', b"[::1", b"::1", b"[::1]x"),
    *(b"[::1%25lo]", b"[localhost]", b"localhost\x00", b"localhost\xff", b"\x00localhost", b"loc\xa0alhost"),
    *("loc\u0430lhost".encode(), "\uff4cocalhost".encode(), b"%6cocalhost", b"localhost%00", b"*"),
    *(b"localhost,localhost", b"localhost\r\nHost: localhost", b"localhost\r\nHost: evil", b"evil\r\nHost: localhost"),
    *(b"localhost\r\nhost:localhost", b"localhost\r\nX: y\r\nHOST: evil", b"localhost\r\n evil", b"\r\n localhost"),
    *(b"localhost\tevil", b"localhost:80\x00", b"localhost:\x0b80", b"{localhost}", b"$(x)", b"localhost:8e1"),
    *("localhost:\u0661".encode(),),
]
OTHER_HOSTS = [
    *(b"evil", b"evil.com", b"localhost.evil.com", b"evil.localhost", b"127.0.0.1.nip.io", b"127a0b0c1", b"0.0.0.0"),
    *(b"127.1", b"[::ffff:127.0.0.1]", b"2130706433", b"0x7f.1", b".localhost", b"localhost.", b"127.0.0.1.", b"-"),
    *(b"[::]", b"localhost_", b"xlocalhost", b"localhostx", b"LOCALHOST.EVIL", b"169.254.169.254", b"10.0.0.1:80"),
    *(b"[fe80::1]", b"127.0.0.2", b"[0:0::1]"),
]
GOOD_HOSTS = [
    b"localhost:1",
    b"LOCALHOST",
    b"127.0.0.1",
    b"[::1]",
    b"[::1]:80",
    b"localhost:65535",
    b"\tlocalhost ",
    b"LocalHost:80",
]


def targets() -> Iterator[Payload]:
    """Where a request may go."""
    for path in PATHS:
        yield passes(named("path", path[:60]), message(first=b"GET " + path + b" HTTP/1.1"), b"GET " + path)
    for path in ODD_PATHS:
        yield passes(named("path", path), message(first=b"GET " + path + b" HTTP/1.1"), b"GET " + path, odd=True)
    for target in BAD_TARGETS:
        yield refused(named("target", target), smuggling(first=b"GET " + target + b" HTTP/1.1"))
        yield refused(named("CONNECT", target), smuggling(first=b"CONNECT " + target + b" HTTP/1.1"))
    for target in ELSEWHERE:
        yield refused(named("target", target), message(first=b"GET " + target + b" HTTP/1.1"))
        yield refused(named("CONNECT", target), smuggling(first=b"CONNECT " + target + b" HTTP/1.1"))
    for target, path in ABSOLUTE.items():
        yield passes(named("target", target), message(first=b"GET " + target + b" HTTP/1.1"), b"GET " + path)
        yield refused(
            named("two hosts beside", target), smuggling(b"Host: evil", first=b"GET " + target + b" HTTP/1.1")
        )
        yield refused(named("evil beside", target), message(first=b"GET " + target + b" HTTP/1.1", host=b"evil"))
    for code in [*range(33), *range(127, 256)]:
        first = b"GET /a" + bytes([code]) + b"b HTTP/1.1"
        yield refused(named("byte in a path", bytes([code])), smuggling(first=first))
    yield passes("OPTIONS *", message(first=b"OPTIONS * HTTP/1.1"), b"OPTIONS *", odd=True)
    yield refused("OPTIONS **", smuggling(first=b"OPTIONS ** HTTP/1.1"))


def lines() -> Iterator[Payload]:
    """Methods and versions."""
    for method in METHODS:
        yield passes(
            named("method", method), message(first=method + b" /m HTTP/1.1"), method + b" /m", odd=method == b"SOURCE"
        )
    for method in BAD_METHODS:
        yield refused(named("method", method), smuggling(first=method + b" / HTTP/1.1"))
        yield refused(
            named("method with a body", method),
            smuggling(b"Content-Length: 3", body=b"abc", first=method + b" / HTTP/1.1"),
        )
    for version in VERSIONS:
        yield refused(named("version", version), smuggling(first=b"GET / " + version))
    for line in FIRST_LINES:
        yield refused(named("request line", line), smuggling(first=line))
    # docs/http.md: the parser reads these so, and the upstream gets one blank and HTTP/1.1.
    yield passes("two blanks behind the method", message(first=b"GET  / HTTP/1.1"), b"GET /")
    yield passes("two blanks behind the target", message(first=b"GET /  HTTP/1.1"), b"GET /")
    for version in (b"RTSP/1.0", b"RTSP/1.1"):
        yield passes(named("version", version), message(first=b"GET / " + version), b"GET /")
    yield passes("ICE", message(first=b"SOURCE / ICE/1.0"), b"SOURCE /", odd=True)


def hosts() -> Iterator[Payload]:
    """Host: whose request it is."""
    for host in BAD_HOSTS:
        yield refused(named("host", host), message(host=host, first=b"GET / HTTP/1.1") + SMUGGLED)
        yield refused(named("1.0 and host", host), message(host=host, first=b"GET / HTTP/1.0") + SMUGGLED)
    for host in OTHER_HOSTS:
        # No mistake, so the connection may go on.
        yield refused(named("host", host), message(host=host, first=b"GET / HTTP/1.1"))
        yield refused(named("1.0 and host", host), message(host=host, first=b"GET / HTTP/1.0"))
    for host in GOOD_HOSTS:
        yield passes(named("host", host), message(host=host, first=b"GET / HTTP/1.1"), b"GET /")
    yield refused("no host", b"GET / HTTP/1.1\r\n\r\n" + SMUGGLED)
    yield refused("no host but X-Forwarded-Host", b"GET / HTTP/1.1\r\nX-Forwarded-Host: localhost\r\n\r\n" + SMUGGLED)
    yield refused("no host in absolute-form", b"GET http://localhost/ HTTP/1.1\r\n\r\n" + SMUGGLED)
    yield passes("no host in 1.0", b"GET / HTTP/1.0\r\n\r\n", b"GET /")


def payloads() -> Iterator[Payload]:
    """All of them."""
    yield from targets()
    yield from lines()
    yield from hosts()
