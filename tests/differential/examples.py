"""How many examples a property is tried with: few, and always the same, unless the environment asks for more."""

import os

from hypothesis import HealthCheck, Phase, settings

WANTED = int(os.environ.get("OKTA_PROXY_TESTS_EXAMPLES", "0"))
"""Examples for each property, random ones: for a longer search. 0 for the suite's own."""


def examples(count: int) -> settings:
    """Return the settings of a property that is tried *count* times in the suite."""
    return settings(
        max_examples=WANTED or count,
        derandomize=not WANTED,
        database=None,
        deadline=None,
        print_blob=True,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=[HealthCheck.too_slow],
    )
