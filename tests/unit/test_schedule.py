"""When to fetch, when to try again, when not to: every number of the schedule as a table."""

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.tokens import schedule
from proxy.tokens.schedule import backoff, forced_gap, lifetime, may_force, named_delay, refresh_after
from proxy.tokens.source import Token, unusable_margin

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [
        (3600, 3600.0),
        ("3600", 3600.0),
        (299.5, 299.5),
        (2, 2.0),
        (86_400, 86_400.0),
        (86_401, 86_400.0),
        (1e9, 86_400.0),
        (2**63, 86_400.0),
        (10**400, 86_400.0),
        (float("inf"), 86_400.0),
        (0, None),
        (1, None),
        (-1, None),
        (-(10**400), None),
        (float("nan"), None),
        (float("-inf"), None),
        ("0", None),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("nan", None),
        (True, None),
        ([3600], None),
        ({"seconds": 3600}, None),
    ],
)
def test_a_lifetime_is_a_positive_number_of_at_most_a_day(expires_in, seconds):
    """Numbers and numeric strings count, up to 24 h; zero, negative and what is no number give none."""
    assert lifetime(expires_in) == seconds


@pytest.mark.parametrize("life", [120.0, 300.0, 3600.0, 86_400.0])
def test_a_token_is_refreshed_at_70_to_75_percent_of_its_life(life):
    """The moment moves over the whole of that range with the chance, and never leaves it."""
    assert refresh_after(life, 0.0) == pytest.approx(0.70 * life)
    assert refresh_after(life, 0.5) == pytest.approx(0.725 * life)
    assert 0.7499 * life < refresh_after(life, 0.99999) < 0.75 * life


@pytest.mark.parametrize(("life", "after"), [(6.0, 3.0), (60.0, 30.0), (119.9, 59.95)])
@pytest.mark.parametrize("chance", [0.0, 0.999])
def test_a_short_life_is_refreshed_at_half(life, after, chance):
    """Under two minutes it is half of the life, whatever the chance."""
    assert refresh_after(life, chance) == pytest.approx(after)


@pytest.mark.parametrize(
    ("life", "margin"), [(2, 1.0), (6, 1.0), (10, 1.0), (50, 5.0), (100, 10.0), (101, 10.0), (86_400, 10.0)]
)
def test_the_last_seconds_of_a_life_are_not_used(life, margin):
    """A tenth of the life, at least 1 s and at most 10 s."""
    assert unusable_margin(life) == pytest.approx(margin)
    token = Token("t", "Bearer", sent_boot=50.0, sent_wall=NOW, lifetime=life)
    assert token.expires_boot - token.unusable_boot == pytest.approx(margin)
    assert token.expires_wall - token.unusable_wall == pytest.approx(margin)
    assert (token.expires_boot, token.expires_wall) == (50.0 + life, NOW + life)


@pytest.mark.parametrize("life", [2, 3, 6, 20, 60, 119, 120, 300, 3600, 86_400])
@pytest.mark.parametrize("chance", [0.0, 0.999999])
def test_a_token_is_refreshed_before_it_is_unusable(life, chance):
    """However short the life, the refresh is due no later than the last usable moment."""
    assert refresh_after(life, chance) <= life - unusable_margin(life)


@pytest.mark.parametrize(
    ("failures", "unreached", "reached"),
    [(1, 1, 1), (2, 2, 2), (3, 4, 4), (4, 8, 8), (5, 15, 16), (6, 15, 32), (7, 15, 60), (50, 15, 60), (10**6, 15, 60)],
)
def test_the_backoff_doubles_from_a_second(failures, unreached, reached):
    """Full jitter under a ceiling: up to 15 s while nobody answered, up to 60 s when somebody did."""
    assert backoff(failures, reached=False, chance=0.5) == pytest.approx(unreached / 2)
    assert backoff(failures, reached=True, chance=0.5) == pytest.approx(reached / 2)
    assert backoff(failures, reached=True, chance=0.999999) == pytest.approx(reached, rel=1e-5)


@given(failures=st.integers(1, 10**9), reached=st.booleans(), chance=st.floats(0, 1, exclude_max=True))
def test_no_backoff_is_a_hot_loop(failures, reached, chance):
    """Whatever the chance, the wait is a tenth of a second at least and never over the ceiling."""
    assert 0.1 <= backoff(failures, reached=reached, chance=chance) <= (60 if reached else 15)


DATE = formatdate(NOW, usegmt=True)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "5"}, 5.0),
        ({"retry-after": "0"}, 1.0),
        ({"retry-after": "3600"}, 600.0),
        ({"retry-after": "9" * 400}, 600.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "abc"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "1.5"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "²"}, None),
        ({"retry-after": formatdate(NOW + 30, usegmt=True), "date": DATE}, 30.0),
        ({"retry-after": formatdate(NOW + 30, usegmt=True)}, 30.0),
        ({"retry-after": formatdate(NOW - 30, usegmt=True), "date": DATE}, 1.0),
        ({"retry-after": "Wed, 99 Foo 2027 00:00:00 GMT"}, None),
        ({"x-rate-limit-reset": str(int(NOW) + 20), "date": DATE}, 21.0),
        ({"x-rate-limit-reset": str(int(NOW) - 500), "date": DATE}, 1.0),
        ({"x-rate-limit-reset": str(int(NOW) * 1000), "date": DATE}, 600.0),
        ({"x-rate-limit-reset": "9" * 400, "date": DATE}, 600.0),
        ({"x-rate-limit-reset": "soon", "date": DATE}, None),
        ({"x-rate-limit-reset": f"{int(NOW) + 90}, {int(NOW) + 20}", "date": DATE}, 21.0),
        ({"x-rate-limit-reset": str(int(NOW) + 20), "retry-after": "40", "date": DATE}, 40.0),
        ({"x-rate-limit-reset": str(int(NOW) + 20), "retry-after": "5", "date": DATE}, 21.0),
        ({"x-rate-limit-reset": str(int(NOW) + 20), "retry-after": "abc", "date": DATE}, 21.0),
    ],
)
def test_a_named_time_is_obeyed_within_bounds(headers, seconds):
    """`Retry-After` and `X-Rate-Limit-Reset` within 1 s and 10 min; garbage names no time."""
    assert named_delay(headers, NOW) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize("skew", [-3600.0, -300.0, 300.0, 8 * 3600.0])
def test_a_named_moment_is_compared_with_the_answers_own_date(skew):
    """A wrong local clock does not change how long we wait."""
    reset = {"x-rate-limit-reset": str(int(NOW) + 20), "date": DATE}
    assert named_delay(reset, NOW + skew) == pytest.approx(21.0)
    retry = {"retry-after": formatdate(NOW + 20, usegmt=True), "date": DATE}
    assert named_delay(retry, NOW + skew) == pytest.approx(20.0)


@pytest.mark.parametrize("date", ["", "today", "Wed, 99 Foo 2027 00:00:00 GMT"])
def test_without_a_date_our_own_clock_must_do(date):
    """An answer whose `Date` is missing or unreadable is compared with the local clock."""
    assert named_delay({"x-rate-limit-reset": str(int(NOW) + 20), "date": date}, NOW) == pytest.approx(21.0)


@pytest.mark.parametrize(
    "date",
    [
        "Fri, 15 Jan 2027 08:00:30 GMT",
        "Friday, 15-Jan-27 08:00:30 GMT",
        "Fri Jan 15 08:00:30 2027",
        "Fri, 15 Jan 2027 08:00:30 -0000",
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_each_form_of_an_http_date_is_utc(date, zone, monkeypatch):
    """The three forms of RFC 9110 5.6.7 are UTC wherever this machine stands."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert named_delay({"retry-after": date, "date": DATE}, NOW) == pytest.approx(30.0)
    finally:
        monkeypatch.undo()
        time.tzset()


@given(value=st.text(max_size=60), other=st.text(alphabet="0123456789,:+- GMTJanFri", max_size=40))
def test_no_header_can_crash_the_schedule(value, other):
    """Whatever stands in the headers gives no time, or one within 1 s and 10 min."""
    for headers in (
        {"retry-after": value, "date": other},
        {"retry-after": other, "x-rate-limit-reset": value},
        {"x-rate-limit-reset": other, "date": value},
    ):
        delay = named_delay(headers, NOW)
        assert delay is None or 1.0 <= delay <= 600.0


@pytest.mark.parametrize(("streak", "gap"), [(0, 0), (1, 0), (2, 30), (3, 60), (4, 120), (5, 240), (6, 300), (99, 300)])
def test_forced_refreshes_get_further_apart(streak, gap):
    """From the second fresh token in a row that was refused the gap doubles from 30 s up to 5 min."""
    assert forced_gap(streak) == gap


@pytest.mark.parametrize(
    ("now", "history", "streak", "allowed"),
    [
        (0.0, [], 0, True),
        (0.1, [0.0], 1, True),
        (0.2, [0.0, 0.1], 0, False),
        (29.9, [0.0, 0.1], 0, False),
        (30.0, [0.0, 0.1], 0, True),
        (30.0, [0.0, 29.0], 0, True),
        (29.9, [0.0], 2, False),
        (30.0, [0.0], 2, True),
        (59.0, [0.0, 30.0], 3, False),
        (90.0, [0.0, 30.0], 3, True),
        (1000.0, [0.0, 800.0], 9, False),
        (1100.0, [0.0, 800.0], 9, True),
    ],
)
def test_at_most_two_refreshes_are_forced_in_30_seconds(now, history, streak, allowed):
    """A third waits until 30 s after the last but one, and longer while fresh tokens are refused too."""
    assert may_force(now, history, streak) is allowed


def test_the_numbers_of_the_contract():
    """The constants that other code reads are those of the design."""
    assert schedule.DEFAULT_LIFE == 300
    assert schedule.LONGEST_LIFE == 24 * 3600
    assert schedule.NAP == 15
    assert schedule.REFUSED_DELAY == 60
    assert schedule.PULL_INTERVAL == 5
