"""
The overview in Prometheus' text format.

Imported on the first scrape, because of prometheus-client: a proxy that nobody scrapes does without it. The library's
global registry, with its process and garbage collector metrics, is not part of what we give out.
"""

from collections.abc import Iterator, Mapping
from itertools import accumulate

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from proxy.admin.overview import DURATION_BUCKETS, Histogram, Overview
from proxy.admin.status import connections, outcomes

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


def exposition(overview: Overview) -> bytes:
    """Return *overview* in the text format 0.0.4, which every Prometheus and most other scrapers read."""
    return generate_latest(_OverviewCollector(overview))


class _OverviewCollector(Collector):
    """Gives the overview's integers to prometheus-client, which knows how to write them."""

    def __init__(self, overview: Overview) -> None:
        self._overview = overview

    def collect(self) -> Iterator[Metric]:
        overview = self._overview
        yield InfoMetricFamily("okta_proxy_build", "The version that runs.", value={"version": overview.version})
        yield _requests(overview.requests)
        yield _histogram(
            "okta_proxy_request_duration_seconds",
            "Time from a request's head to the last byte of its answer.",
            overview.durations,
        )
        yield GaugeMetricFamily("okta_proxy_requests_in_flight", "Requests not yet answered.", overview.in_flight)
        yield _labelled(
            CounterMetricFamily(
                "okta_proxy_token_refreshes_total", "Token requests that ended, by how.", labels=["outcome"]
            ),
            outcomes(overview),
        )
        yield GaugeMetricFamily(
            "okta_proxy_token_expiry_timestamp_seconds",
            "When the token expires, in seconds since the epoch; 0 while there never was one.",
            overview.token.expires_at or 0,
        )
        yield _credential(overview.token.credential)
        yield _histogram(
            "okta_proxy_token_wait_seconds", "Time waited for a token, by requests that had to.", overview.token_waits
        )
        yield CounterMetricFamily(
            "okta_proxy_replays_total", "Requests sent again with a newer token after a 401.", overview.replays
        )
        yield _labelled(
            GaugeMetricFamily(
                "okta_proxy_upstream_connections",
                "Connections to the upstream, by state; waiting are requests without one.",
                labels=["state"],
            ),
            connections(overview),
        )


def _credential(name: str | None) -> InfoMetricFamily:
    """Return the one that works now, and no other: a series that ends tells that its credential may go."""
    family = InfoMetricFamily(
        "okta_proxy_token_credential",
        "What the token was fetched with: the kid of a key, else the place of a secret or key from 1.",
        labels=["credential"],
    )
    if name is not None:
        family.add_metric([name], {})
    return family


def _requests(requests: Mapping[tuple[str, int], int]) -> CounterMetricFamily:
    family = CounterMetricFamily(
        "okta_proxy_requests_total", "Requests answered, by method and status.", labels=["method", "code"]
    )
    for (method, code), count in sorted(requests.items()):
        family.add_metric([method, str(code)], count)
    return family


def _labelled(family: CounterMetricFamily | GaugeMetricFamily, counts: Mapping[str, int]) -> Metric:
    for label, count in counts.items():
        family.add_metric([label], count)
    return family


def _histogram(name: str, documentation: str, histogram: Histogram) -> HistogramMetricFamily:
    """Prometheus' buckets are cumulative: each counts all that took at most its bound."""
    bounds = [*(str(bound) for bound in DURATION_BUCKETS), "+Inf"]
    buckets = list(zip(bounds, accumulate(histogram.buckets), strict=True))
    return HistogramMetricFamily(name, documentation, buckets=buckets, sum_value=histogram.total)
