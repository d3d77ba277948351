"""What uses both streams. `from fusion import TwoStream` loads what it needs only then."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusion.two_stream import TwoStream

__all__ = ["TwoStream"]


def __getattr__(name: str) -> Any:
    if name == "TwoStream":
        from fusion.two_stream import TwoStream

        return TwoStream
    raise AttributeError(f"fusion has no {name}.")
