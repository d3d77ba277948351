"""What uses both streams. `from fusion import TwoStream` loads what it needs only then."""

import importlib
from typing import TYPE_CHECKING

from commands.running import quiet_tensorflow

if TYPE_CHECKING:
    from fusion.two_stream import TwoStream

__all__ = ["TwoStream"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"fusion has no {name}.")
    quiet_tensorflow()
    return getattr(importlib.import_module("fusion.two_stream"), name)
