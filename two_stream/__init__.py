"""Two-stream networks by one name: `from two_stream import TwoStream`. Importing it loads no TensorFlow.

In a clone this folder holds nothing else; in a wheel, setup.py puts the rooms (`data`, `fusion` and so on) into it.
"""

from typing import TYPE_CHECKING

from fusion import __all__ as __all__
from fusion import __getattr__ as __getattr__

if TYPE_CHECKING:
    from fusion import TwoStream as TwoStream
    from fusion import TwoStreamNetwork as TwoStreamNetwork
