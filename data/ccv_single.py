"""Columbia Consumer Video read with one label a video, as networks that end in a softmax need it."""

from data.ccv import open_single as open_dataset

__all__ = ["open_dataset"]
