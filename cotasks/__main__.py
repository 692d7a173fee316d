"""`python -m cotasks`, so that `accelerate launch -m cotasks generate ...` works."""

import sys

from cotasks.cli import main

sys.exit(main())
