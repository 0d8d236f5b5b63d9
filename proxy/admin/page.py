"""
The page for a person: the overview as HTML, complete without its script, which only keeps it fresh.

Rules of this file: every value goes through `_text` or `_attributes`; what may change while the page is open has an id.
"""

from collections.abc import Mapping
from html import escape
from urllib.parse import quote

from proxy.admin.assets import CONTENT_SECURITY_POLICY, SCRIPT, STYLE
from proxy.admin.overview import Overview
from proxy.admin.status import State, by_class, connections, moment, outcomes, seconds_left, state

HEADERS = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
)

_HEADLINES: dict[State, tuple[str, str]] = {
    "ready": ("Ready", "Requests get the token and go to the upstream."),
    "waiting": (
        "Waiting for a token",
        "Requests wait for it a while, then get 503 token_unavailable. This heals by itself.",
    ),
    "refused": (
        "Refused",
        "The token endpoint refuses to give a token; only a person can mend that. Requests get 502 token_refused.",
    ),
    "draining": ("Draining", "Stopping: what is in flight is finished, new connections are not accepted."),
}

_COLOURS: dict[State, str] = {"ready": "#1a9c63", "waiting": "#d98a00", "refused": "#d93025", "draining": "#5b7cff"}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title id="title">{headline} · okta-proxy</title>
<link id="icon" rel="icon" href="{icon}">
<noscript><meta http-equiv="refresh" content="10"></noscript>
<style>{style}</style>
</head>
<body id="body" data-state="{state}">
<header>
<p><strong>okta-proxy</strong> <span id="version">{version}</span></p>
<p>up {uptime}</p>
</header>
<main>
<section class="alarm" id="silent" role="alert" hidden>
<h2>No answer from the proxy</h2>
<p>Everything below is as it was at <span id="since"></span>. This page keeps asking.</p>
</section>
<section class="now">
<div role="status"><h1 id="headline">{headline}</h1><p id="meaning">{meaning}</p></div>
{clock}
{route}
</section>
{trouble}
<section>
<h2>Token</h2>
{token}
</section>
<section>
<h2>Requests</h2>
{tiles}
{requests}
</section>
<section>
<h2>From a shell</h2>
{lines}
</section>
</main>
<script>{script}</script>
</body>
</html>
"""


def page(overview: Overview, address: str) -> str:
    """Return the page; *address* is where the operator reaches the admin listener, `http://localhost:8081`."""
    name = state(overview)
    headline, meaning = _HEADLINES[name]
    return _PAGE.format(
        headline=_text(headline),
        meaning=_text(meaning),
        state=name,
        icon=_icon(name),
        style=STYLE,
        script=SCRIPT,
        version=_text(overview.version),
        uptime=_span("uptime", overview.now - overview.started_at, "up"),
        clock=_clock(overview),
        route=_route(overview),
        trouble=_trouble(overview),
        token=_token(overview),
        tiles=_tiles(overview),
        requests=_requests(overview),
        lines=_lines(overview.listen, address),
    )


def spell(seconds: float) -> str:
    """Return a duration in its two largest units, `42 min 17 s`. The page's script has the same rule."""
    whole = max(0, int(seconds))
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    while len(parts) > 1 and parts[0][0] == 0:
        del parts[0]
    return " ".join(f"{count} {unit}" for count, unit in parts[:2])


def _clock(overview: Overview) -> str:
    """Return the one number that matters now: the token's life, the time to the next try, or what still runs."""
    token = overview.token
    left = seconds_left(overview)
    bar: Mapping[str, object] = {"hidden": ""}
    if overview.draining:
        number, label = f'<strong id="clock">{overview.in_flight}</strong>', "requests still in flight"
    elif token.usable and left is not None:
        number, label = _span("clock", left, "down", tag="strong"), "until the token expires"
        age = 0.0 if token.refreshed_at is None else max(0.0, overview.now - token.refreshed_at)
        bar = {"max": round(age + left), "value": round(left), "data-seconds": round(left)}
    elif token.next_try_at is not None and token.next_try_at > overview.now:
        number, label = _span("clock", token.next_try_at - overview.now, "down", tag="strong"), "until the next try"
    else:
        number, label = '<strong id="clock">Asking for a token</strong>', "right now"
    meter = f'<progress id="life" aria-label="Life left in the token"{_attributes(bar)}></progress>'
    return f'<p class="clock">{number} <span id="clock-label">{_text(label)}</span></p>\n{meter}'


def _trouble(overview: Overview) -> str:
    """Return the last error in words; hidden when the last fetch succeeded."""
    token = overview.token
    attributes: Mapping[str, object] = {"hidden": ""} if token.error is None else {"data-code": token.error_code}
    title = "The last token request failed" + ("; the token in use is still good" if token.usable else "")
    return (
        f'<section class="alarm" id="trouble"{_attributes(attributes)}>\n'
        f'<h2 id="trouble-title">{_text(title)}</h2>\n'
        f'<p id="error">{_text(token.error or "")}</p>\n'
        f'<p class="soft"><code id="code">{_text(token.error_code or "")}</code></p>\n'
        "</section>"
    )


def _token(overview: Overview) -> str:
    token, now = overview.token, overview.now
    healthy = token.usable and token.error is None
    return _facts(
        (
            f'<span id="expires-label">{"Expires" if seconds_left(overview) != 0 else "Expired"}</span>',
            _when("expires", token.expires_at, now, never="there is no token yet"),
        ),
        ("Last refresh", _when("refreshed", token.refreshed_at, now)),
        (f'<span id="next-label">{"Next refresh" if healthy else "Next try"}</span>', _next(overview)),
        ("Last failure", _when("failed", token.failed_at, now)),
        ("Fetched with", _fetched_with(token.credential)),
        ("Token requests", _counts("outcome", outcomes(overview))),
    )


def _fetched_with(credential: str | None) -> str:
    """Return which secret or key works: when it is the new one, the old one may go."""
    shown = "nothing yet" if credential is None else f"credential {credential}"
    return f'<span id="credential">{_text(shown)}</span>'


def _next(overview: Overview) -> str:
    """A moment that has passed means that the token request is under way."""
    at = overview.token.next_try_at
    if at is not None and at <= overview.now:
        at = None
    return _when("next", at, overview.now, never="not planned" if overview.draining else "now")


def _tiles(overview: Overview) -> str:
    """Return the counts that tell at a glance how the traffic is."""
    counts = {"in flight": overview.in_flight} | by_class(overview)
    tiles = (
        f'<div><dt>{_text(name)}</dt><dd id="count-{_text(name.replace(" ", "-"))}">{count:,}</dd></div>'
        for name, count in counts.items()
    )
    return f'<dl class="tiles">{"".join(tiles)}</dl>'


def _route(overview: Overview) -> str:
    return _facts(
        ("Clients call", f'<code id="listen">{_text(overview.listen)}</code>'),
        ("Forwarded to", f'<code id="upstream">{_text(overview.upstream)}</code>'),
        kind="facts route",
    )


def _requests(overview: Overview) -> str:
    counts = connections(overview)
    waiting = f'; <span id="connections-waiting">{counts.pop("waiting"):,}</span> waiting for one'
    return _facts(
        ("Answered", f'<span id="answered">{sum(overview.requests.values()):,}</span>'),
        ("Sent again", f'<span id="replays">{overview.replays:,}</span> with a newer token, after a 401'),
        ("Connections", _counts("connections", counts) + " to the upstream" + waiting),
    )


def _lines(listen: str, address: str) -> str:
    lines = (
        ("Call the upstream", f"curl {listen}/"),
        ("Get a new token now", f"curl -X POST {address}/refresh"),
        ("The same as this page, as JSON and for Prometheus", f"curl {address}/status\ncurl {address}/metrics"),
        ("Stop, when what is in flight has ended", f"curl -X POST {address}/quitquitquit"),
    )
    items = (f"<li><p>{_text(what)}</p><pre><code>{_text(line)}</code></pre></li>" for what, line in lines)
    return f'<ol class="lines">{"".join(items)}</ol>'


def _facts(*facts: tuple[str, str], kind: str = "facts") -> str:
    """Return a list of terms and values, both HTML already."""
    return f'<dl class="{kind}">{"".join(f"<dt>{term}</dt><dd>{value}</dd>" for term, value in facts)}</dl>'


def _counts(name: str, counts: Mapping[str, int]) -> str:
    """Return `3 active, 5 idle`, each number with an id of its own."""
    return ", ".join(
        f'<span><span id="{_text(f"{name}-{label}")}">{count:,}</span> {_text(label)}</span>'
        for label, count in counts.items()
    )


def _when(name: str, at: float | None, now: float, never: str = "never") -> str:
    """Return a moment and its distance from *now*; the same elements when there is none, so that it may come."""
    date = before = distance = after = ""
    attributes: Mapping[str, object] = {}
    if at is not None:
        date = (moment(at) or "").replace("T", " ").replace("Z", " UTC")
        before, way, after = ("in ", "down", "") if at > now else ("", "up", " ago")
        distance = spell(abs(at - now))
        attributes = {"data-seconds": round(abs(at - now)), "data-way": way}
    return (
        f'<span id="{name}">{date or _text(never)}</span> <span class="soft"><span id="{name}-before">{before}</span>'
        f'<span id="{name}-distance"{_attributes(attributes)}>{distance}</span>'
        f'<span id="{name}-after">{after}</span></span>'
    )


def _span(name: str, seconds: float, way: str, tag: str = "span") -> str:
    """Return a duration that the script counts `down` or `up` from here on."""
    attributes = _attributes({"data-seconds": round(seconds), "data-way": way})
    return f'<{tag} id="{name}"{attributes}>{spell(seconds)}</{tag}>'


def _attributes(values: Mapping[str, object]) -> str:
    return "".join(f' {name}="{_text(str(value))}"' for name, value in values.items())


def _text(value: str) -> str:
    """Return *value* as HTML text that is safe between quotes too."""
    return escape(value, quote=True)


def _icon(name: State) -> str:
    """Return the tab's icon: a dot in the state's colour."""
    circle = f"<circle cx='8' cy='8' r='7' fill='{_COLOURS[name]}'/>"
    return "data:image/svg+xml," + quote(f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>{circle}</svg>")
