"""The metrics, read back with the parser of the library that wrote them."""

import subprocess
import sys
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.admin.metrics import CONTENT_TYPE, exposition
from proxy.admin.overview import DURATION_BUCKETS, EMPTY, Histogram, Overview, TokenView

OVERVIEW = Overview(
    version="1.2.3",
    started_at=0,
    now=1_800_000_000,
    listen="http://localhost:8080",
    upstream="https://api.example.com",
    draining=False,
    token=TokenView(True, 1_800_003_600.0, None, None, None, None, None, {"ok": 4, "refused": 1}),
    requests={("GET", 200): 5, ("other", 405): 2},
    durations=Histogram((1, 2, *(0,) * 12, 3), 912.5),
    token_waits=EMPTY,
    in_flight=7,
    replays=9,
    upstream_connections={"active": 3, "idle": 2},
)


def scraped(overview=OVERVIEW):
    """Return metric type by name, and value by sample name and labels."""
    families = list(text_string_to_metric_families(exposition(overview).decode()))
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value for family in families for sample in family.samples
    }
    return {family.name: family.type for family in families}, samples


def test_every_metric_has_its_name_and_type():
    """They are the documented ones and nothing beside them: no process, platform or gc metrics."""
    types, _ = scraped()
    assert types == {
        "okta_proxy_build_info": "gauge",
        "okta_proxy_requests": "counter",
        "okta_proxy_request_duration_seconds": "histogram",
        "okta_proxy_requests_in_flight": "gauge",
        "okta_proxy_token_refreshes": "counter",
        "okta_proxy_token_expiry_timestamp_seconds": "gauge",
        "okta_proxy_token_credential_info": "gauge",
        "okta_proxy_token_wait_seconds": "histogram",
        "okta_proxy_replays": "counter",
        "okta_proxy_upstream_connections": "gauge",
    }
    assert CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize(
    ("sample", "value"),
    [
        (("okta_proxy_build_info", ("version", "1.2.3")), 1),
        (("okta_proxy_requests_total", ("code", "200"), ("method", "GET")), 5),
        (("okta_proxy_requests_total", ("code", "405"), ("method", "other")), 2),
        (("okta_proxy_requests_in_flight",), 7),
        (("okta_proxy_token_refreshes_total", ("outcome", "ok")), 4),
        (("okta_proxy_token_refreshes_total", ("outcome", "refused")), 1),
        (("okta_proxy_token_refreshes_total", ("outcome", "unreachable")), 0),
        (("okta_proxy_token_expiry_timestamp_seconds",), 1_800_003_600),
        (("okta_proxy_replays_total",), 9),
        (("okta_proxy_upstream_connections", ("state", "active")), 3),
        (("okta_proxy_request_duration_seconds_bucket", ("le", "0.005")), 1),
        (("okta_proxy_request_duration_seconds_bucket", ("le", "0.01")), 3),
        (("okta_proxy_request_duration_seconds_bucket", ("le", "300.0")), 3),
        (("okta_proxy_request_duration_seconds_bucket", ("le", "+Inf")), 6),
        (("okta_proxy_request_duration_seconds_count",), 6),
        (("okta_proxy_request_duration_seconds_sum",), 912.5),
        (("okta_proxy_token_wait_seconds_count",), 0),
    ],
)
def test_the_overviews_integers_come_out(sample, value):
    """Histogram buckets are cumulative, outcomes without a count are 0."""
    _, samples = scraped()
    assert samples[sample] == value


def test_every_bucket_bound_is_there():
    """A histogram has a sample a bound, and +Inf."""
    _, samples = scraped()
    bounds = [dict(labels)["le"] for name, *labels in samples if name == "okta_proxy_token_wait_seconds_bucket"]
    assert bounds == [*map(str, DURATION_BUCKETS), "+Inf"]


def test_without_a_token_its_expiry_is_zero():
    """So that one comparison with time() covers both an expired token and none at all."""
    token = replace(OVERVIEW.token, usable=False, expires_at=None)
    _, samples = scraped(replace(OVERVIEW, token=token))
    assert samples[("okta_proxy_token_expiry_timestamp_seconds",)] == 0


@pytest.mark.parametrize("name", ["2", 'kid "one"\\'])
def test_the_credential_that_works_has_the_one_series(name):
    """Its name is a label, however it is spelled; before the first token there is none."""
    _, samples = scraped(replace(OVERVIEW, token=replace(OVERVIEW.token, credential=name)))
    found = {key: value for key, value in samples.items() if key[0] == "okta_proxy_token_credential_info"}
    assert found == {("okta_proxy_token_credential_info", ("credential", name)): 1}
    _, samples = scraped()
    assert [key for key in samples if key[0] == "okta_proxy_token_credential_info"] == []


def test_states_and_outcomes_exist_before_anything_happened():
    """A rate needs to see the counter before it moves."""
    _, samples = scraped(replace(OVERVIEW, token=replace(OVERVIEW.token, refreshes={}), upstream_connections={}))
    names = [name for name, *_ in samples]
    assert names.count("okta_proxy_token_refreshes_total") == 5
    assert names.count("okta_proxy_upstream_connections") == 4


def test_the_library_is_imported_by_the_first_scrape_only():
    """Importing the server brings in neither prometheus-client nor the application framework of aiohttp."""
    script = (
        "import sys, proxy.admin.server\n"
        "print([name for name in ('prometheus_client', 'jinja2', 'aiohttp.web_app') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "[]"
