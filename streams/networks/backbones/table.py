"""The backbones by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import keras

from streams.networks.backbones import applications, cnn_m, inception, mobilenet_v2, residual, small
from streams.weights.names import ORIGINS


@dataclass(frozen=True)
class Variant:
    """The differences between a network and the one that Keras builds."""

    origin: str = ""  # The origin of PyTorch weights: one of ORIGINS.
    shift: float = 0.0  # The share of channels that blocks shift in each direction of time.


@dataclass(frozen=True)
class Backbone:
    """The parts of a network in which backbones differ."""

    build: Callable[[keras.KerasTensor], keras.KerasTensor]  # From scaled pixels to the last convolutional map.
    scaling: str  # One of streams.networks.preprocessing.SCALINGS: the range of pixels for its weights.
    smallest: int  # The smallest side of an image for which the last map is not empty.
    dense: tuple[int, ...] = ()  # Dense layers after the map. Without any, global average pooling follows it.
    normalised: bool = False  # Whether the pooled map is normalised before the class scores.
    build_for_flow: Callable[[keras.KerasTensor], keras.KerasTensor] | None = None  # For another temporal network.
    # Builds a middle map and the last map, for frames that are spread over a video.
    build_maps: Callable[[keras.KerasTensor], tuple[keras.KerasTensor, keras.KerasTensor]] | None = None
    in_time: str = ""  # "rgb" or "flow" if its input can be frames or fields spread over a video.
    application: str = ""  # Its name in keras.applications, if that has ImageNet weights for it.


BACKBONES = {
    "small": Backbone(small.small, "motion", smallest=16),
    "cnn_m_2048": Backbone(cnn_m.spatial, "caffe", 52, (4096, 2048), build_for_flow=cnn_m.temporal),
    "cnn_m_2048_bn": Backbone(cnn_m.batch_normalised, "caffe", 52, (4096, 2048)),
    "vgg16": Backbone(applications.vgg16, "caffe", 32, (4096, 4096), application="VGG16"),
    "resnet18": Backbone(residual.resnet18, "torch", 32),
    "resnet50": Backbone(applications.resnet50, "caffe", 32, application="ResNet50"),
    "resnet101": Backbone(applications.resnet101, "caffe", 32, application="ResNet101"),
    "resnet152": Backbone(applications.resnet152, "caffe", 32, application="ResNet152"),
    "inception_v3": Backbone(applications.inception_v3, "signed", 75, application="InceptionV3"),
    "xception": Backbone(applications.xception, "signed", 71, application="Xception"),
    "motion": Backbone(small.small, "motion", smallest=24, in_time="flow"),
    "mobilenet": Backbone(
        applications.mobilenet,
        "signed",
        32,
        build_maps=applications.mobilenet_maps,
        in_time="rgb",
        application="MobileNet",
    ),
    "mobilenet_v2": Backbone(
        applications.mobilenet_v2,
        "signed",
        32,
        build_maps=applications.mobilenet_v2_maps,
        in_time="rgb",
        application="MobileNetV2",
    ),
    "efficientnet_v2_b0": Backbone(applications.efficientnet_v2_b0, "torch", 32, application="EfficientNetV2B0"),
    "efficientnet_v2_s": Backbone(applications.efficientnet_v2_s, "half", 32, application="EfficientNetV2S"),
    "convnext_tiny": Backbone(applications.convnext_tiny, "torch", 32, normalised=True, application="ConvNeXtTiny"),
    "bn_inception": Backbone(inception.bn_inception, "caffe", 32),
}
# Networks that PyTorch's packages build in another way than Keras.
_OF_TORCH: Mapping[str, Mapping[str, Any]] = {
    "resnet50": {"build": partial(residual.bottlenecks, blocks=(3, 4, 6, 3))},
    "resnet101": {"build": partial(residual.bottlenecks, blocks=(3, 4, 23, 3))},
    "resnet152": {"build": partial(residual.bottlenecks, blocks=(3, 8, 36, 3))},
    "mobilenet_v2": {"build": mobilenet_v2.mobilenet_v2, "build_maps": mobilenet_v2.maps},
}


def backbone_of(name: str, origin: str) -> Backbone:
    """Returns a backbone, built as its PyTorch weights need it."""
    return replace(BACKBONES[name], scaling=ORIGINS[origin].scaling, **_OF_TORCH.get(name, {}))
