"""What uses both streams. `from fusion import TwoStream` loads what it needs only then."""

from typing import TYPE_CHECKING

from commands.quiet import quiet_tensorflow

if TYPE_CHECKING:
    from fusion.two_stream import TwoStream

__all__ = ["TwoStream"]


def __getattr__(name: str) -> type["TwoStream"]:
    if name == "TwoStream":
        quiet_tensorflow()
        from fusion.two_stream import TwoStream

        return TwoStream
    raise AttributeError(f"fusion has no {name}.")
