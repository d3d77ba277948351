"""Temporal shift (Lin, Gan, Han 2019): inside each block, a frame takes some channels from its neighbours in time.

A shift has no weights. It comes before the first layer of a block's residual branch, so the other branch keeps all
that a frame shows.
"""

import keras
from keras import ops

_NO_BLOCK = (
    "{} has no residual blocks, which --shift needs. Pass --backbone resnet18, resnet50, mobilenet_v2, "
    "convnext_tiny, efficientnet_v2_b0 or xception, or drop --shift."
)


_MARK = "_shifted"  # Ends the name of a network that shifts.


def with_shift(network: keras.Model, share: float, num_frames: int) -> keras.Model:
    """Returns a network with new weights that shifts a share of channels in each direction, over so many frames."""
    firsts = first_layers(network)
    if not firsts:
        raise ValueError(_NO_BLOCK.format(network.name))

    def call(layer: keras.Layer, images: keras.KerasTensor, *others: object, **options: object) -> keras.KerasTensor:
        return layer(shifted(images, share, num_frames) if layer.name in firsts else images, *others, **options)

    changed = keras.models.clone_model(network, call_function=call)
    return keras.Model(changed.input, changed.output, name=network.name + _MARK)


def shifts(network: keras.Model) -> bool:
    """Tells whether a network was made by `with_shift`."""
    return str(network.name).endswith(_MARK)


def shifted(images: keras.KerasTensor, share: float, num_frames: int) -> keras.KerasTensor:
    """Returns maps [B K, H, W, C] whose first channels come from the next frame, and the second ones from the last."""
    height, width, channels = images.shape[1:]
    moved = int(channels * share)
    clips = ops.reshape(images, (-1, num_frames, height, width, channels))
    none = [[0, 0]] * 3
    next_ones = ops.pad(clips[:, 1:, :, :, :moved], [[0, 0], [0, 1], *none])
    last_ones = ops.pad(clips[:, :-1, :, :, moved : 2 * moved], [[0, 0], [1, 0], *none])
    joined = ops.concatenate([next_ones, last_ones, clips[:, :, :, :, 2 * moved :]], axis=-1)
    return ops.reshape(joined, (-1, height, width, channels))


def first_layers(network: keras.Model) -> set[str]:
    """Returns the names of the first layers of residual branches.

    Two branches begin at the same map and end in an addition; the residual one is the longer.
    """
    sources: dict[str, list[str]] = {}  # For each operation, the operations whose results it takes.
    before: dict[str, set[str]] = {}  # For each operation, itself and all operations before it.
    found = set()
    for place in network.operations:
        tensors = place._inbound_nodes[0].input_tensors
        sources[place.name] = [tensor._keras_history.operation.name for tensor in tensors]
        before[place.name] = {place.name}.union(*(before[name] for name in sources[place.name]))
        if type(place).__name__ == "Add" and len(tensors) == 2:
            ways = [before[name] for name in sources[place.name]]
            split = max(ways[0] & ways[1], key=lambda name: len(before[name]))
            residual = max((way - before[split] for way in ways), key=len)
            found |= {name for name in residual if split in sources[name]}
    return found
