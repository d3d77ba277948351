"""Uses both streams together. `from fusion import TwoStream` or `TwoStreamNetwork` imports TensorFlow only then."""

import importlib
from typing import TYPE_CHECKING

from commands.running import quiet_tensorflow

if TYPE_CHECKING:
    from fusion.joint.two_stream_network import TwoStreamNetwork
    from fusion.two_stream import TwoStream

__all__ = ["TwoStream", "TwoStreamNetwork"]
_WHERE = {"TwoStream": f"{__name__}.two_stream", "TwoStreamNetwork": f"{__name__}.joint.two_stream_network"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"fusion has no {name}.")
    quiet_tensorflow()
    return getattr(importlib.import_module(_WHERE[name]), name)
