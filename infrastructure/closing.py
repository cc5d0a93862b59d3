"""What holds a resource and is used in a `with` statement: it is closed at the end, whatever happened."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Closing(ABC):
    """Is closed when its `with` block ends."""

    __slots__ = ()

    @abstractmethod
    def close(self) -> None:
        """Let go of everything. Safe to repeat."""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()
