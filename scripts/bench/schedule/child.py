"""A decider in a process of its own, to be killed: `python -m scripts.bench.schedule.child DATA_DIR`."""

import os
import sys
import time
from pathlib import Path

from infrastructure.clock import SystemClock
from infrastructure.decider import Decider
from infrastructure.entropy import SystemEntropy
from infrastructure.ids import SystemIds
from infrastructure.ledger import open_ledger
from scripts.bench.schedule.durable import READY


def main(data_dir: Path) -> None:
    """Settle, say so, and go on until killed."""
    clock, ids, entropy = SystemClock(), SystemIds(), SystemEntropy()
    with open_ledger(data_dir, os.environ, clock=clock, ids=ids, entropy=entropy) as ledger:
        decider = Decider(ledger)
        decider.settle()
        print(READY, flush=True)
        while True:
            decider.settle()
            time.sleep(0.01)


main(Path(sys.argv[1]))
