"""`python -m proxy` is `okta-proxy`."""

import sys

from proxy.cli import main

sys.exit(main())
