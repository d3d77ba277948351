"""Builds the networks of `keras.applications` within our graph, with any number of channels."""

import keras
from keras import applications


def vgg16(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the last map of VGG-16, pooled."""
    return _last_map(applications.VGG16, pixels)


def resnet50(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the last map of ResNet-50."""
    return _last_map(applications.ResNet50, pixels)


def resnet101(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the last map of ResNet-101."""
    return _last_map(applications.ResNet101, pixels)


def resnet152(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the last map of ResNet-152."""
    return _last_map(applications.ResNet152, pixels)


def inception_v3(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the last map of Inception-v3."""
    return _last_map(applications.InceptionV3, pixels)


def xception(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the last map of Xception."""
    return _last_map(applications.Xception, pixels)


def mobilenet_v2(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the last map of MobileNetV2."""
    return _last_map(applications.MobileNetV2, pixels)


def mobilenet(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the last map of MobileNet."""
    return _last_map(applications.MobileNet, pixels)


def mobilenet_maps(pixels: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Returns a middle map of MobileNet, which still shows where things are, and its last map."""
    model = applications.MobileNet(include_top=False, weights=None, input_tensor=pixels)
    return model.get_layer("conv_pw_11_relu").output, model.output


def mobilenet_v2_maps(pixels: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Returns a middle map of MobileNetV2, which still shows where things are, and its last map."""
    model = applications.MobileNetV2(include_top=False, weights=None, input_tensor=pixels)
    return model.get_layer("block_12_add").output, model.output


def efficientnet_v2_b0(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the last map of EfficientNetV2-B0."""
    return _last_map(applications.EfficientNetV2B0, pixels, include_preprocessing=False)


def efficientnet_v2_s(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the last map of EfficientNetV2-S."""
    return _last_map(applications.EfficientNetV2S, pixels, include_preprocessing=False)


def convnext_tiny(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the last map of ConvNeXt-Tiny, before the normalisation, which its top applies after pooling."""
    model = applications.ConvNeXtTiny(include_top=False, weights=None, input_tensor=pixels, include_preprocessing=False)
    return model.layers[-1].input


def _last_map(application: type, pixels: keras.KerasTensor, **options: bool) -> keras.KerasTensor:
    # Built on our tensor instead of as a nested model, so that every layer can be found, frozen and shown by name.
    return application(include_top=False, weights=None, input_tensor=pixels, **options).output
