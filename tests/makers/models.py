"""Tiny models and videos for tests of what uses them: random weights, known classes, real files."""

from pathlib import Path

import cv2
import numpy as np

CLASSES = ("Jump", "Run", "Sit")
FLOW = {"method": "dis", "preset": "balanced", "parameters": {}, "bound": 20.0, "rule": "centred", "short_side": None}


def make_model(
    path: Path, stream: str, *, length: int = 3, classes=CLASSES, flow=None, frames=None, multi_label=False, seed=0
) -> Path:
    """Saves a tiny network as a stream's training would; its answers depend on what it sees."""
    import keras

    from streams.runs.model_file import ModelCard, save_model

    keras.utils.set_random_seed(2 * seed + (stream == "temporal"))
    name, channels = ("flow", 2 * length) if stream == "temporal" else ("rgb", 3)
    inputs = keras.Input((32, 32, channels), dtype="uint8", name=name)
    x = keras.layers.Rescaling(1 / 32, -4.0)(inputs)
    x = keras.layers.Conv2D(8, 5, strides=2, activation="relu", name="map")(x)
    x = keras.layers.GlobalAveragePooling2D(name="features")(x)
    model = keras.Model(inputs, keras.layers.Dense(len(classes), name="logits")(x))
    kind = ("flow", length) if stream == "temporal" else ("rgb", 1)
    described = (FLOW if flow is None else flow) if stream == "temporal" else {}
    card = ModelCard(
        stream, *kind, tuple(classes), "made", 1, "validation", described, multi_label, frames=frames or {}
    )
    save_model(model, card, path)
    return path


def make_joint_model(path: Path, spatial: Path, temporal: Path, fusion: str = "conv") -> Path:
    """Saves a network of both streams, joined by layers of random weights."""
    import keras

    from streams.networks.both_streams import two_stream_network
    from streams.runs.model_file import ModelCard, read_card, save_model

    keras.utils.set_random_seed(0)
    cards = read_card(spatial), read_card(temporal)
    network = two_stream_network(len(cards[0].classes), spatial=spatial, temporal=temporal, fusion=fusion)
    save_model(network, ModelCard.joint(*cards), path)
    return path


def moving_texture(num_frames: int = 12, width: int = 64, height: int = 48, seed: int = 0):
    """Yields frames of a texture that slides to the right."""
    random = np.random.default_rng(seed)
    texture = cv2.resize(random.integers(0, 255, (height // 4, width // 2, 3), np.uint8), (2 * width, height))
    for index in range(num_frames):
        yield np.roll(texture, 2 * index, axis=1)[:, :width].copy()


def make_video(path: Path, num_frames: int = 12, *, frame_rate: float = 12, **size) -> Path:
    """Writes a video file of a moving texture."""
    from data.extraction.decoder import write_video

    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, moving_texture(num_frames, **size), frame_rate)
    return path
