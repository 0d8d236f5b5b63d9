"""`okta-proxy schema`: the configuration's JSON Schema, for editors."""

import json
import sys

from proxy.cli.output import write
from proxy.config import schema


def run() -> int:
    """Print the schema and return the exit code. Raises `StartError` if it cannot be written."""
    write(json.dumps(schema(), indent=2), sys.stdout)
    return 0
