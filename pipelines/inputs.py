"""The kinds of input a network can be given, by the names that commands, models and files use."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Input:
    """A kind of input and the length of its clips: L fields for flow, 1 for single frames."""

    kind: str
    length: int = 1

    @property
    def is_flow(self) -> bool:
        """Tells whether channels are displacements, x and y interleaved."""
        return self.kind == "flow"

    @property
    def channels(self) -> int:
        """How many channels a clip has."""
        return 2 * self.length if self.is_flow else 3


KINDS = ("rgb", "flow")
