"""Gives a fresh network its initial weights, from ImageNet, a file or an earlier run, and sets which layers learn.

By default, networks for frames start from ImageNet if Keras has such weights, and networks for flow from random
weights. Weights are converted if the input differs.
"""

import math
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias, TypeVar

import h5py
import keras
import numpy as np
from keras import layers

from commands.running import first_line
from pipelines.inputs import Input
from streams.config import TrainConfig
from streams.networks.backbones.table import BACKBONES, Backbone, Variant
from streams.networks.build import build_network
from streams.networks.from_torch import StoredLayer, stored_layers
from streams.networks.preprocessing import Pixels
from streams.recipes.imagenet_files import find_imagenet
from streams.runs.model_file import card_of_weights, check_unseen, open_network, origin_of_weights
from streams.weights.torch_file import ENDINGS

Source: TypeAlias = keras.Layer | StoredLayer  # A layer that provides weights.
Giving = TypeVar("Giving", keras.Layer, StoredLayer)
# The layers of class scores in our networks and in Keras'. Their weights are not used.
_HEADS = ("logits", "predictions", "convnext_tiny_head_dense")
# The number of batch normalisations, from the first on, that are trained. If the input differs from that of the
# pretrained network, the statistics of the first one no longer fit (TSN, Sec. 3.3).
_LEARNING_NORMALISATIONS = {"all-but-first": 1, "all": 0}
_NOTHING_LEARNT = (
    "--train {train} needs pretrained weights, but {backbone} has none. Pass --weights FILE, or --weights none to use "
    "random ones on purpose."
)
_FILES = f".keras, .weights.h5, .h5, {', '.join(ENDINGS)}"
_HOW_TO_GO_ON = f"Pass --weights FILE ({_FILES}), or --weights none to start from random weights."


def variant_of(options: TrainConfig) -> Variant:
    """Returns the variant of a network that its initial weights need."""
    # Words such as auto have no suffix.
    return Variant(origin_of_weights(options.weights) if Path(options.weights).suffix else "", options.shift)


def built(config: TrainConfig, variant: Variant, pixels: Pixels, clip: Input, classes: Sequence[str]) -> keras.Model:
    """Builds the network of the options for an input, and sets its initial weights."""
    dropout, dense = config.dropout, config.dense_dropout
    network = build_network(
        config.backbone, pixels, len(classes), dropout=dropout, dense_dropout=dense, variant=variant
    )
    return started(network, config, clip, classes)


def started(network: keras.Model, options: TrainConfig, clip: Input, classes: Sequence[str]) -> keras.Model:
    """Returns the network of a clip's kind, ready for training. Prints its initial weights, and which are trained."""
    source = options.weights
    if source == "auto":
        source = "imagenet" if BACKBONES[options.backbone].application and not clip.is_flow else "none"
        if source == "none" and options.train != "all":
            raise ValueError(_NOTHING_LEARNT.format(**vars(options)))
    said = f"All weights of {network.name} are random."
    if source != "none":
        said = _pretrained(network, source, options, clip, classes)
    print(said, set_trainable(network, options.train, options.freeze_bn), sep="\n", flush=True)
    return network


def set_trainable(network: keras.Model, place: str = "all", freeze_bn: str = "none") -> str:
    """Trains only the layers after a place, and returns a sentence about the number of their weights."""
    first = 0 if place == "all" else _first_index(network, place)
    for index, layer in enumerate(network.layers):
        layer.trainable = index >= first
    if freeze_bn != "none":
        _freeze_normalisations(network, _LEARNING_NORMALISATIONS[freeze_bn])
    count = sum(math.prod(variable.shape) for variable in network.trainable_variables)
    return f"{count:,} of {network.count_params():,} weights of {network.name} are trained (from {place})."


def _freeze_normalisations(network: keras.Model, learning: int) -> None:
    """Trains only the first normalisations. The others keep their statistics, as in prediction."""
    # In a network of both streams, each stream has a first one.
    for part in (network, *(layer for layer in network.layers if isinstance(layer, keras.Model))):
        normalisations = [layer for layer in part.layers if isinstance(layer, keras.layers.BatchNormalization)]
        for layer in normalisations[learning:]:
            layer.trainable = False


def pretrain(
    network: keras.Model, backbone: str, source: str, *, average_first: bool = False, keep_head: bool = False
) -> str:
    """Gives a network the weights of `source`, imagenet or a file, and returns a sentence about it.

    If the first convolution has another number of channels than that of the source, it gets the mean of the source's
    over its channels (cross-modality initialisation, as in temporal segment networks). `average_first` does so even if
    the numbers agree, for instance for differences of frames. The layer of class scores stays random, unless
    `keep_head` says that the source has the same classes.
    """
    origins = _source_layers(network, backbone, source)
    said = _take_over(network, origins, source, average_first)
    if not keep_head:
        return said
    network.get_layer("logits").set_weights(origins[-1].get_weights())
    return said.replace("; random: logits.", ", the class scores too.")


def inflated(kernel: np.ndarray, channels: int) -> np.ndarray:
    """Returns a first kernel for another number of channels: its mean, scaled so that grey gives the same result."""
    mean = kernel.mean(axis=2, keepdims=True) * (kernel.shape[2] / channels)
    return np.repeat(mean, channels, axis=2)


def weighted_layers(network: keras.Model) -> list[keras.Layer]:
    """Returns the layers that have weights, including those of networks within the network, in order of the graph."""
    return [layer for layer in _flat(network.layers) if layer.weights]


def _first_index(network: keras.Model, place: str) -> int:
    names = [layer.name for layer in network.layers]
    wanted = "features" if place == "last-layer" else place.removeprefix("after-")
    if wanted not in names:
        alike = [name for name in names if name[:3] == wanted[:3]] or names[-8:]
        raise ValueError(f"{network.name} has no layer {wanted!r} to learn after. It has {', '.join(alike)}.")
    return names.index(wanted) + 1


def _pretrained(network: keras.Model, source: str, options: TrainConfig, clip: Input, classes: Sequence[str]) -> str:
    card = card_of_weights(source)
    if card is not None:
        check_unseen(card, source, data_set=options.dataset, split=options.split, selection=options.protocol)
    # A model of ours for exactly the same task may keep its class scores.
    keep_head = card is not None and (card.input_kind, card.classes) == (clip.kind, tuple(classes))
    average_first = clip.kind == "rgb_difference"
    return pretrain(network, options.backbone, source, average_first=average_first, keep_head=keep_head)


def _take_over(network: keras.Model, origins: Sequence[Source], name: str, average_first: bool) -> str:
    target_layers, source_layers = _without_heads(weighted_layers(network)), _without_heads(origins)
    if len(source_layers) > len(target_layers):
        raise ValueError(_wrong_network(name, network, source_layers, target_layers))
    said = ""
    for number, (target, origin) in enumerate(zip(target_layers, source_layers, strict=False)):
        weights, shapes = origin.get_weights(), [tuple(weight.shape) for weight in target.weights]
        if number == 0 and (average_first or _differs_in_channels_only(weights[0].shape, shapes[0])):
            said = f"; {target.name} averaged over {weights[0].shape[2]} and repeated over {shapes[0][2]} channels"
            weights[0] = inflated(weights[0], shapes[0][2])
        if [weight.shape for weight in weights] != shapes:
            raise ValueError(_wrong_network(name, network, source_layers, target_layers))
        target.set_weights(weights)
    fresh = [layer.name for layer in weighted_layers(network) if layer not in target_layers[: len(source_layers)]]
    return f"{network.name}: {len(source_layers)} layers have weights of {name}{said}; random: {', '.join(fresh)}."


def _differs_in_channels_only(origin: Sequence[int], target: Sequence[int]) -> bool:
    return len(origin) == len(target) == 4 and origin != target and (*origin[:2], origin[3]) == (*target[:2], target[3])


def _without_heads(weighted: Sequence[Giving]) -> list[Giving]:
    return [layer for layer in weighted if not layer.name.startswith(_HEADS)]


def _flat(found: Iterable[keras.Layer]) -> Iterator[keras.Layer]:
    for layer in found:
        if isinstance(layer, keras.Model):
            yield from _flat(layer.layers)
        else:
            yield layer.layer if isinstance(layer, layers.TimeDistributed) else layer


def _source_layers(network: keras.Model, backbone: str, source: str) -> Sequence[Source]:
    if source == "imagenet":
        return weighted_layers(_imagenet(network, backbone))
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file of weights {path}. {_HOW_TO_GO_ON}")
    if path.suffix == ".keras":
        return weighted_layers(open_network(path))
    if path.suffix in ENDINGS:
        return stored_layers(network, weighted_layers(network), backbone, path)
    if path.suffix != ".h5":
        raise ValueError(f"Weights are read from {_FILES} files. Received {path}.")
    return weighted_layers(_read_h5(network, backbone, path))


def _imagenet(network: keras.Model, backbone: str) -> keras.Model:
    parts = BACKBONES[backbone]
    if not parts.application:
        raise ValueError(f"Keras has no ImageNet weights for {backbone}. {_HOW_TO_GO_ON}")
    file = find_imagenet(backbone)
    if file:
        return _read_h5(network, backbone, file.path)
    try:
        return _application(parts, with_top=_can_use_top(network, parts), weights="imagenet")
    except Exception as error:  # Keras raises a plain Exception if a download fails.
        found = re.match(r"URL fetch failure on (\S+): (.*)", str(error))
        if not found:
            raise
        url, reason = found.groups()
        raise FileNotFoundError(
            f"The ImageNet weights of {backbone} are not on this machine and could not be downloaded ({reason}). "
            f"Put {url.rsplit('/', 1)[-1]} (from {url}) into the folder weights of this project, or name its folder in "
            f"TWO_STREAM_WEIGHTS. {_HOW_TO_GO_ON}"
        ) from None


def _application(parts: Backbone, *, with_top: bool, weights: str | None = None) -> keras.Model:
    # With its dense layers, the network takes only 224 x 224 pixels.
    return getattr(keras.applications, parts.application)(include_top=with_top, weights=weights)


def _can_use_top(network: keras.Model, parts: Backbone) -> bool:
    return bool(parts.dense) and network.input_shape[1] == 224


def _read_h5(network: keras.Model, backbone: str, path: Path) -> keras.Model:
    """Returns the network that fits the file: Keras' own, with or without its dense layers, or this one."""
    parts, error = BACKBONES[backbone], ""
    # The network with dense layers is tried first, because one without them would also load such a file, and drop them.
    for with_top in (True, False) if parts.application else ():
        candidate = _application(parts, with_top=with_top)
        if not (error := _load_error(candidate, path)):
            return candidate
    same = keras.models.clone_model(network)
    if not (own_error := _load_error(same, path)):
        return same
    names = _names_in(path)
    raise ValueError(
        f"{path} does not fit {backbone}: {error or own_error} "
        f"The file has {len(names)} layers ({', '.join(names[:3])} ...); "
        f"{backbone} has {', '.join(layer.name for layer in weighted_layers(network)[:3])} ..."
    )


def _load_error(network: keras.Model, path: Path) -> str:
    try:
        with warnings.catch_warnings(action="ignore"):  # Keras warns about every layer that a wrong file lacks.
            network.load_weights(path)
    except (ValueError, KeyError, OSError, IndexError) as error:
        return first_line(error)
    return ""


def _names_in(path: Path) -> list[str]:
    try:
        with h5py.File(path) as file:
            return list(file["layers"] if "layers" in file else file.get("model_weights", file))
    except OSError:
        return []


def _wrong_network(name: str, network: keras.Model, origins: Sequence[Source], targets: Sequence[Source]) -> str:
    for target, origin in zip(targets, origins, strict=False):
        wanted, found = [tuple(weight.shape) for weight in target.weights], [tuple(w.shape) for w in origin.weights]
        if wanted != found:
            where = f"{target.name} has shapes {wanted}, but there {origin.name} has {found}"
            break
    else:
        where = f"there are {len(origins)} layers with weights instead of {len(targets)}"
    return f"{name} does not fit {network.name}: {where}. Pass the --backbone to which these weights belong."
