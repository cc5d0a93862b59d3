"""Keeps the cadence of the rounds: publishes all logs, makes a round, waits."""

import threading
from collections.abc import Callable

from domain.errors import UnavailableError
from infrastructure.anchors.making import Tell
from infrastructure.anchors.publisher import AnchorPublisher, Turn
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

    What is unavailable (a full disk, a database that restarts) is told and tried again at the next turn.

    Args:
        publisher: makes the rounds.
        every_ms: the cadence. Several processes that keep it make one round each time, together.
        rounds: how many rounds are made; None for no end.
        at_once: make rounds without regard to the cadence.
        told: is told each turn.
        stop: ends it between two turns.

    Returns:
        The last turn.

    Raises:
        FrozenLogError: when the anchor log is frozen.
        VerificationError: when what is stored or published is damaged.
        UnavailableError: when the last turn that was asked for did not come about.
    """
    ended, made, logs = stop or threading.Event(), 0, Publisher(publisher.ledger)
    while True:
        try:
            publish_logs(logs, publisher.tell)
            turn = publisher.turn(every_ms=0 if at_once else every_ms)
        except UnavailableError as error:
            if at_once or ended.is_set():
                raise
            publisher.tell(str(error))
        else:
            told(turn)
            made += turn.made is not None
            if made == rounds or ended.is_set():
                return turn
        ended.wait(max(_LEAST_WAIT_S, publisher.due_in_ms(every_ms) / _MS_PER_S))
