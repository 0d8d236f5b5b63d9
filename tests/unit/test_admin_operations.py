"""The operations page keeps to what the code does."""

import re
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from proxy.admin.access import ROUTES
from proxy.admin.metrics import exposition
from proxy.admin.overview import EMPTY, Overview, TokenView

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
OVERVIEW = Overview(
    version="1",
    started_at=0,
    now=0,
    listen="",
    upstream="",
    draining=False,
    token=TokenView(False, None, None, None, None, None, None),
    requests={},
    durations=EMPTY,
    token_waits=EMPTY,
    in_flight=0,
    replays=0,
    upstream_connections={},
)
FAMILIES = {family.name: family for family in text_string_to_metric_families(exposition(OVERVIEW).decode())}


def exported(name: str) -> bool:
    """Tell whether *name* is that of a series that a scrape brings."""
    return any(
        name in {family, f"{family}_total", f"{family}_bucket", f"{family}_count", f"{family}_sum"}
        for family in FAMILIES
    )


def test_every_route_and_metric_is_explained():
    """Each route stands with its method, each metric with its type."""
    for path, methods in ROUTES.items():
        assert f"| `{methods[0]} {path}` |" in PAGE
    for name, family in FAMILIES.items():
        shown = f"{name}_total" if family.type == "counter" else name
        assert re.search(rf"\| `{shown}[{{`].*\| {family.type} \|", PAGE), shown


def test_every_log_event_is_explained():
    """Each name that the code logs has its row."""
    calls = re.compile(r"\blog\.(?:debug|info|warning|error|exception)\(\s*\"(\w+)\"|_log\.\w+\(\s*\"(\w+)\"")
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "proxy").rglob("*.py")]
    logged = {first or second for source in sources for first, second in calls.findall(source)}
    assert "internal_error" in logged
    assert not {name for name in logged if f"| `{name}` |" not in PAGE}


@pytest.mark.parametrize("block", BLOCKS)
def test_the_examples_are_yaml(block):
    """What is there to be copied parses."""
    assert yaml.safe_load(block)


def test_the_alerts_ask_for_metrics_that_exist():
    """Every name in an expression is one that a scrape brings."""
    (groups,) = [parsed["groups"] for parsed in map(yaml.safe_load, BLOCKS) if "groups" in parsed]
    expressions = [rule["expr"] for group in groups for rule in group["rules"]]
    names = [name for expression in expressions for name in re.findall(r"okta_proxy_\w+", expression)]
    assert len(names) >= len(expressions) > 3
    assert all(exported(name) for name in names)
