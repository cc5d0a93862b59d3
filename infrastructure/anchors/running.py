"""Keeps the cadence of the rounds: publishes all logs, makes a round, waits."""

import threading
from collections.abc import Callable

from domain.errors import UnavailableError, VerificationError
from infrastructure.anchors.making import Tell
from infrastructure.anchors.publisher import AnchorPublisher, Turn
from infrastructure.postgres.records import FrozenLogError
from infrastructure.publish.publisher import Publisher

_MS_PER_S = 1000
_LEAST_WAIT_S = 0.05


def publish_logs(logs: Publisher, tell: Tell) -> None:
    """Publish every log that changed. One that is frozen or fails is told, and the others go on."""
    for origin, text in logs.publish().failed.items():
        tell(f"{origin}: {text}")


def keep_cadence(
    publisher: AnchorPublisher,
    every_ms: int,
    *,
    rounds: int | None = None,
    at_once: bool = False,
    told: Callable[[Turn], None] = lambda _turn: None,
    stop: threading.Event | None = None,
) -> Turn:
    """Publish all logs and make a round, every so often, until it is stopped.

    What is unavailable (a full disk, a database that restarts) is told and tried again at the next turn. Where the
    anchor log is frozen or damaged, that is told once, no round is made, and the other logs are published as before.

    Args:
        publisher: makes the rounds.
        every_ms: the cadence. Several processes that keep it make one round each time, together.
        rounds: how many rounds are made, or fail for a frozen or damaged anchor log; None for no end.
        at_once: make rounds without regard to the cadence.
        told: is told each turn.
        stop: ends it between two turns.

    Returns:
        The last turn.

    Raises:
        FrozenLogError: at the end, when the anchor log is frozen.
        VerificationError: at the end, when what is stored or published of it is damaged.
        UnavailableError: when the last turn that was asked for did not come about.
    """
    ended, made, logs = stop or threading.Event(), 0, Publisher(publisher.ledger)
    held: FrozenLogError | VerificationError | None = None
    while True:
        try:
            publish_logs(logs, publisher.tell)
            turn = publisher.turn(every_ms=0 if at_once else every_ms)
        except UnavailableError as error:
            if at_once or ended.is_set():
                raise
            publisher.tell(str(error))
        except (FrozenLogError, VerificationError) as error:
            if held is None:
                publisher.tell(str(error))
            held = error
            made += 1
            if made == rounds or ended.is_set():
                raise
        else:
            held = None
            told(turn)
            made += turn.made is not None
            if made == rounds or ended.is_set():
                return turn
        wait_ms = every_ms if held and not at_once else publisher.due_in_ms(every_ms)
        ended.wait(max(_LEAST_WAIT_S, wait_ms / _MS_PER_S))
