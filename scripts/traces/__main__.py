"""`python -m scripts.traces`."""

import sys

from scripts.traces.azure import main

sys.exit(main(sys.argv[1:]))
