"""What one execution may use at most."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MEBIBYTE = 1024 * 1024


class Bounds(BaseModel):
    """Limits of one execution: linear memory in bytes, fuel in wasm instructions (about), wall-clock time in ms."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    memory_bytes: Annotated[int, Field(ge=65_536, le=4096 * MEBIBYTE)]
    fuel: Annotated[int, Field(ge=1, le=10**12)]
    wall_ms: Annotated[int, Field(ge=1, le=24 * 3_600_000)]

    def __str__(self) -> str:
        return f"{self.memory_bytes} bytes, {self.fuel} fuel, {self.wall_ms} ms"

    def within(self, other: "Bounds") -> bool:
        """Tell whether no limit here exceeds the same limit of `other`."""
        return self.memory_bytes <= other.memory_bytes and self.fuel <= other.fuel and self.wall_ms <= other.wall_ms

    def stricter(self, other: "Bounds") -> "Bounds":
        """Return the smaller of each limit."""
        return Bounds(
            memory_bytes=min(self.memory_bytes, other.memory_bytes),
            fuel=min(self.fuel, other.fuel),
            wall_ms=min(self.wall_ms, other.wall_ms),
        )


class SimulatedBounds(Bounds):
    """Bounds of any size, for workloads that are simulated only: what is submitted is always `Bounds`."""

    memory_bytes: Annotated[int, Field(ge=1, le=2**48)]
    wall_ms: Annotated[int, Field(ge=1, le=2**48)]
