"""How long to wait before something that failed is tried again: longer each time, up to a bound."""


class Backoff:
    """Doubles from `first_s` up to `most_s` (seconds); begins anew after a success."""

    def __init__(self, first_s: float = 0.05, most_s: float = 5.0) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._next_s = first_s

    def next_s(self) -> float:
        """Return how long to wait now, in seconds."""
        now = self._next_s
        self._next_s = min(self._most_s, 2 * now)
        return now

    def reset(self) -> None:
        """Begin anew: it went well."""
        self._next_s = self._first_s
