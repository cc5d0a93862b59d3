"""`python -m scripts.bench`."""

import sys

from scripts.bench.command import main

sys.exit(main(sys.argv[1:]))
