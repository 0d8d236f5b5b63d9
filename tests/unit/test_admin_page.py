"""The page for a person, read with the standard library's HTML parser."""

import base64
import hashlib
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from proxy.admin.overview import EMPTY, Overview, TokenView
from proxy.admin.page import HEADERS, page, spell

NOW = 1_800_000_000.0
GOOD = TokenView(True, NOW + 2700, NOW - 900, NOW + 1700, None, None, None, {"ok": 4})
DOWN = TokenView(False, None, None, NOW + 8, NOW - 3, "Okta was not reached.", "token_unavailable", {"unreachable": 2})
REFUSED = replace(DOWN, error="Okta refused: invalid_client.", error_code="token_refused", expires_at=NOW - 60)

OVERVIEW = Overview(
    version="1.2.3",
    started_at=NOW - 3700,
    now=NOW,
    listen="http://localhost:8080",
    upstream="https://api.example.com/v1",
    draining=False,
    token=GOOD,
    requests={("GET", 200): 12345, ("GET", 404): 1, ("other", 503): 3},
    durations=EMPTY,
    token_waits=EMPTY,
    in_flight=2,
    replays=1,
    upstream_connections={"active": 2, "idle": 5, "connecting": 1, "waiting": 1234},
)

VOID = {"meta", "link"}


class Reading(HTMLParser):
    """What a reader finds: the text and the attributes of each element with an id, and every element's name."""

    def __init__(self, overview, address="http://localhost:8081"):
        super().__init__()
        self.text: dict[str, str] = {}
        self.attributes: dict[str, dict[str, str | None]] = {}
        self.elements: Counter[str] = Counter()
        self.all_attributes: set[str] = set()
        self.open: list[tuple[str, str | None]] = []
        self.html = page(overview, address)
        self.feed(self.html)
        self.close()

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.elements[tag] += 1
        self.all_attributes |= set(values)
        if name := values.get("id"):
            assert name not in self.attributes, f"two elements have the id {name}"
            self.attributes[name] = values
            self.text[name] = ""
        if tag not in VOID:
            self.open.append((tag, values.get("id")))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for _, name in self.open:
            if name:
                self.text[name] += data


@pytest.mark.parametrize(
    ("token", "draining", "headline", "clock", "label"),
    [
        (GOOD, False, "Ready", "45 min 0 s", "until the token expires"),
        (replace(GOOD, refreshed_at=None), False, "Ready", "45 min 0 s", "until the token expires"),
        (DOWN, False, "Waiting for a token", "8 s", "until the next try"),
        (replace(DOWN, next_try_at=NOW), False, "Waiting for a token", "Asking for a token", "right now"),
        (replace(DOWN, next_try_at=None), False, "Waiting for a token", "Asking for a token", "right now"),
        (REFUSED, False, "Refused", "8 s", "until the next try"),
        (GOOD, True, "Draining", "2", "requests still in flight"),
    ],
)
def test_the_state_and_its_number_come_first(token, draining, headline, clock, label):
    """The headline, the title and one number say how the proxy is, without any script."""
    reading = Reading(replace(OVERVIEW, token=token, draining=draining))
    assert reading.text["headline"] == headline
    assert reading.text["title"] == f"{headline} · okta-proxy"
    assert (reading.text["clock"], reading.text["clock-label"]) == (clock, label)
    assert reading.open == []


def test_the_counts_and_addresses_are_there():
    """Status classes, requests in flight, outcomes, connections, where clients call and where it goes."""
    text = Reading(OVERVIEW).text
    assert text["version"] == "1.2.3"
    assert text["uptime"] == "1 h 1 min"
    assert text["listen"] == "http://localhost:8080"
    assert text["upstream"] == "https://api.example.com/v1"
    assert text["answered"] == "12,349"
    assert [text[f"count-{name}"] for name in ("in-flight", "2xx", "3xx", "4xx", "5xx")] == [
        "2",
        "12,345",
        "0",
        "1",
        "3",
    ]
    assert (text["outcome-ok"], text["outcome-refused"], text["replays"]) == ("4", "0", "1")
    assert (text["connections-active"], text["connections-idle"]) == ("2", "5")
    assert (text["connections-connecting"], text["connections-waiting"]) == ("1", "1,234")


def test_the_token_of_a_healthy_proxy():
    """When it expires, when it was fetched, when its successor comes; no error is shown."""
    reading = Reading(OVERVIEW)
    assert reading.text["expires"] == "2027-01-15 08:45:00 UTC"
    assert reading.text["expires-label"] == "Expires"
    assert reading.text["refreshed"] == "2027-01-15 07:45:00 UTC"
    assert reading.text["refreshed-distance"] + reading.text["refreshed-after"] == "15 min 0 s ago"
    assert reading.text["next-label"] == "Next refresh"
    assert reading.text["next-before"] + reading.text["next-distance"] == "in 28 min 20 s"
    assert reading.text["failed"] == "never"
    assert "hidden" in reading.attributes["trouble"]
    assert reading.attributes["life"]["max"] == "3600"
    assert reading.attributes["life"]["value"] == "2700"


def test_before_the_first_token_nothing_expires():
    """Without a token there is no moment at which it ends, which is not the same as never."""
    assert Reading(replace(OVERVIEW, token=DOWN)).text["expires"] == "there is no token yet"


def test_a_failed_refresh_of_a_usable_token_is_told_without_alarm():
    """The error is shown beside the reassurance that the token in use is still good."""
    reading = Reading(replace(OVERVIEW, token=replace(GOOD, error="Okta was slow.", error_code="token_unavailable")))
    assert reading.text["headline"] == "Ready"
    assert "still good" in reading.text["trouble-title"]
    assert reading.text["error"] == "Okta was slow."
    assert reading.text["next-label"] == "Next try"


def test_the_last_error_is_shown_in_words():
    """The error's text, its code, and the token that has expired."""
    reading = Reading(replace(OVERVIEW, token=REFUSED))
    assert "hidden" not in reading.attributes["trouble"]
    assert reading.attributes["trouble"]["data-code"] == "token_refused"
    assert reading.text["error"] == "Okta refused: invalid_client."
    assert reading.text["code"] == "token_refused"
    assert reading.text["expires-label"] == "Expired"
    assert reading.text["expires-distance"] + reading.text["expires-after"] == "1 min 0 s ago"
    assert "hidden" in reading.attributes["life"]


def test_a_try_that_is_due_is_now_and_a_draining_proxy_plans_none():
    """The next try is `now` while it runs."""
    assert Reading(replace(OVERVIEW, token=replace(DOWN, next_try_at=NOW - 1))).text["next"] == "now"
    assert Reading(replace(OVERVIEW, token=replace(DOWN, next_try_at=None))).text["next"] == "now"
    assert (
        Reading(replace(OVERVIEW, token=replace(GOOD, next_try_at=None), draining=True)).text["next"] == "not planned"
    )


def test_every_state_has_the_same_elements():
    """The script takes changes over element by element, so the ids must not depend on the state."""
    overviews = [replace(OVERVIEW, token=token) for token in (GOOD, DOWN, REFUSED)]
    overviews.append(replace(OVERVIEW, draining=True, requests={}))
    first, *others = [set(Reading(overview).attributes) for overview in overviews]
    assert all(other == first for other in others)


def test_what_counts_down_and_up_says_so_to_the_script():
    """Each duration carries its seconds and its direction."""
    attributes = Reading(OVERVIEW).attributes
    assert attributes["clock"]["data-seconds"] == "2700"
    assert attributes["clock"]["data-way"] == "down"
    assert attributes["uptime"]["data-way"] == "up"
    assert attributes["life"]["data-seconds"] == "2700"


def test_the_curl_lines_have_the_operators_address():
    """They are the ones to copy: through the listener, and to the address that the page was asked at."""
    html = Reading(OVERVIEW, "http://localhost:9001").html
    assert "curl http://localhost:8080/<" in html
    assert "curl -X POST http://localhost:9001/refresh<" in html
    assert "curl -X POST http://localhost:9001/quitquitquit<" in html


def test_nothing_that_is_shown_can_become_markup():
    """Every value is escaped, in text and between quotes."""
    evil = "\"'><script>alert(1)</script>"
    token = replace(REFUSED, error=evil, error_code=evil, refreshes={evil: 1})
    reading = Reading(
        replace(
            OVERVIEW,
            version=evil,
            listen=evil,
            upstream=evil,
            token=token,
            upstream_connections={evil: 1},
        ),
        address=evil,
    )
    assert reading.elements["script"] == 1
    assert "<script>alert" not in reading.html
    assert reading.text["error"] == evil
    assert reading.text["upstream"] == evil


def test_the_policy_allows_the_pages_own_style_and_script_and_nothing_else():
    """The hashes are those of what stands in the page, and no attribute carries style or script."""
    reading = Reading(OVERVIEW)
    policy = dict(HEADERS)["Content-Security-Policy"]
    for tag in ("style", "script"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", reading.html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert not {name for name in reading.all_attributes if name == "style" or name.startswith("on")}


def test_the_page_needs_nothing_from_elsewhere():
    """No element loads another resource: the icon is part of the page."""
    reading = Reading(OVERVIEW)
    assert not {"img", "iframe", "form", "object"} & set(reading.elements)
    assert "src" not in reading.all_attributes
    assert str(reading.attributes["icon"]["href"]).startswith("data:image/svg+xml,")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (86399, "23 h 59 min"),
        (90000, "1 d 1 h"),
        (8640000, "100 d 0 h"),
    ],
)
def test_durations_are_spelled_in_their_two_largest_units(seconds, words):
    """As a person would say them."""
    assert spell(seconds) == words


@pytest.mark.parametrize(("name", "shown"), [(None, "nothing yet"), ("2", "credential 2"), ("<k>", "credential <k>")])
def test_the_page_says_which_credential_works(name, shown):
    """In a rotation a person sees when the old one may go; a kid is text, whatever it holds."""
    assert Reading(replace(OVERVIEW, token=replace(GOOD, credential=name))).text["credential"] == shown
