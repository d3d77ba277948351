"""Puts the same weights into a similar network: for whole frames instead of squares, or with lower precision."""

import keras
from keras import layers

from commands.running import first_line

# Layers between a flattened map and its dense layer that do not change its values.
_PASSING = (layers.Dropout, layers.Identity, layers.Activation)


def variant(model: keras.Model, *, whole_frames: bool = False, precision: str = "float32") -> keras.Model:
    """Returns a network with the weights of `model`, or `model` itself if no change is needed.

    With `whole_frames`, it takes images of any size: a dense layer after a flattened map becomes a convolution over the
    map, and larger images give several logits, [B, h, w, C].
    """
    if not whole_frames and precision == "float32":
        return model
    image = model.inputs[0]
    sides = (None, None) if whole_frames else image.shape[1:3]
    inputs = keras.Input((*sides, image.shape[-1]), dtype=image.dtype, name=image.name)
    flattened = flattened_shapes(model) if whole_frames else {}

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        if flattened and isinstance(layer, layers.Flatten):
            return layers.Identity(name=layer.name)
        settings: dict[str, object] = layer.get_config()
        if precision != "float32" and isinstance(layer, layers.Conv2D | layers.Dense | layers.BatchNormalization):
            settings["dtype"] = f"mixed_{precision}"
        if layer.name in flattened:
            names = ("name", "dtype", "activation", "use_bias")
            sizes = {"filters": settings["units"], "kernel_size": flattened[layer.name][:2]}
            return layers.Conv2D(**sizes, **{name: settings[name] for name in names})
        return layer.__class__.from_config(settings)

    try:
        changed = keras.models.clone_model(model, input_tensors=inputs, clone_function=clone)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{model.name} can't score whole frames: a part of it works on squares of {image.shape[1]} pixels only "
            f"({first_line(error)}). Pass --crops 10."
        ) from error
    for layer in model.layers:
        weights = layer.get_weights()
        if layer.name in flattened:
            weights[0] = weights[0].reshape(*flattened[layer.name], -1)
        if weights:
            changed.get_layer(layer.name).set_weights(weights)
    return changed


def flattened_shapes(model: keras.Model) -> dict[str, tuple[int, ...]]:
    """Returns the shape of the map that each dense layer after a flattening reads."""
    shapes = {}
    for layer in model.layers:
        if isinstance(layer, layers.Dense):
            before = layer.input._keras_history.operation
            while isinstance(before, _PASSING):
                before = before.input._keras_history.operation
            if isinstance(before, layers.Flatten):
                shapes[layer.name] = tuple(before.input.shape[1:])
    return shapes
