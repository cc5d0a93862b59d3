"""Runs a node that stops dead at one step: it says "here" then, and waits to be killed.

Arguments: what (`append`: a durable mark was made; `sent`: an answer came and was not noted), how many of them, the
server's URL, the wallet.
"""

import sys
import time
from typing import Any

from infrastructure.cli import main
from infrastructure.node.journal import Journal
from infrastructure.node.outbox import Outbox

what, left = sys.argv[1], int(sys.argv[2])


def counted() -> None:
    """Count a step; at the last one wait to be killed."""
    global left  # noqa: PLW0603 - one process, one count
    left -= 1
    if left == 0:
        sys.stdout.write("here\n")
        sys.stdout.flush()
        time.sleep(100)


if what == "append":
    append = Journal.append

    def appending(self: Journal, *records: Any) -> None:
        append(self, *records)
        counted()

    Journal.append = appending  # type: ignore[method-assign]
else:
    sent = Outbox.sent

    def sending(self: Outbox, entry: Any, answers: Any, *, alone: bool = False) -> None:
        if answers:
            counted()
        sent(self, entry, answers, alone=alone)

    Outbox.sent = sending  # type: ignore[method-assign]

main(["node", "run", "--server", sys.argv[3], "--key", sys.argv[4], "--json"])
