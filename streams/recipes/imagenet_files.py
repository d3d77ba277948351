"""Finds files of ImageNet weights: in the folder that TWO_STREAM_WEIGHTS names, in `weights`, or in Keras' cache."""

import os
from pathlib import Path
from typing import NamedTuple

from commands.files import HOME

# The names under which Keras publishes these files, and further names of files with the same weights.
NAMES = {
    "mobilenet": ("mobilenet_1_0_224_tf_no_top.h5", "mobilenet_1.0_224_imagenet_notop.weights.h5"),
    "mobilenet_v2": (
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
        "mobilenet_v2_1.0_224_imagenet_notop.weights.h5",
    ),
    "vgg16": (
        "vgg16_weights_tf_dim_ordering_tf_kernels.h5",
        "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ),
    "resnet50": ("resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",),
    "resnet101": ("resnet101_weights_tf_dim_ordering_tf_kernels_notop.h5",),
    "resnet152": ("resnet152_weights_tf_dim_ordering_tf_kernels_notop.h5",),
    "inception_v3": ("inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",),
    "xception": ("xception_weights_tf_dim_ordering_tf_kernels_notop.h5",),
    "efficientnet_v2_b0": ("efficientnetv2-b0_notop.h5",),
    "efficientnet_v2_s": ("efficientnetv2-s_notop.h5",),
    "convnext_tiny": ("convnext_tiny_notop.h5",),
}


class ImagenetFile(NamedTuple):
    """A file of ImageNet weights for a backbone."""

    backbone: str
    path: Path


def weight_folders() -> list[Path]:
    """Returns the folders to search, in order: the one in TWO_STREAM_WEIGHTS, the project's, and Keras' cache."""
    named = os.environ.get("TWO_STREAM_WEIGHTS")
    keras_home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    return [*([Path(named)] if named else []), HOME / "weights", keras_home / "models"]


def find_imagenet(backbone: str) -> ImagenetFile | None:
    """Returns the file of a backbone's ImageNet weights, or None if there is none on this machine."""
    for folder in weight_folders():
        for name in NAMES.get(backbone, ()):
            if (folder / name).is_file():
                return ImagenetFile(backbone, folder / name)
    return None
