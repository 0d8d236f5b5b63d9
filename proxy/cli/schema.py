"""`okta-proxy schema`: the configuration's JSON Schema, for editors."""

import json
import sys

from proxy.config import schema


def run() -> int:
    """Print the schema and return the exit code."""
    sys.stdout.write(json.dumps(schema(), indent=2) + "\n")
    return 0
