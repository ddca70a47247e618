"""`python -m qtensor`: the command line."""

from __future__ import annotations

import sys

from qtensor.cli.main import main

sys.exit(main())
