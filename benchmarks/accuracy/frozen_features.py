"""Compares a last layer on frozen ImageNet features of real video with the same network with random weights.

python benchmarks/accuracy/frozen_features.py ../shared/data/clips/fights \
    --weights ../shared/data/weights/mobilenet_v2_1.0_224_imagenet_notop.weights.h5

The folder holds videos and `videos.csv` with the columns video, label and split. Expected: the pretrained network is
better than the random one for every seed. Published for these features, with five folds: 62 % against 53 %.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from commands import packages

    packages.check()  # Before the first import that may fail.

import cv2
import numpy as np

from commands.files import write_json
from commands.running import quiet_tensorflow, run
from data.catalog import Video
from data.extraction.decoder import read_frames
from pipelines.sampling import view_starts

SIDE, EPOCHS = 224, 40


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the video accuracy on the test list of every seed, with and without pretrained weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", required=True, help="of the backbone, as --weights of spatial/train.py")
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--views", type=int, default=3, help="evenly spaced frames of each video")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    options = parser.parse_args(argv)
    quiet_tensorflow()
    with (options.folder / "videos.csv").open() as file:
        rows = list(csv.DictReader(file))
    clips = np.stack([_views(options.folder / row["video"], options.views) for row in rows])
    classes = sorted({row["label"] for row in rows})
    labels = np.array([classes.index(row["label"]) for row in rows])
    is_test = np.array([row["split"] == "test" for row in rows])
    print(
        f"{len(rows)} videos, {is_test.sum()} to test on; {np.bincount(labels[is_test]).max() / is_test.sum():.1%} is"
    )
    print("reached by the commonest class alone.")
    accuracy: dict[str, list[float]] = {"pretrained": [], "random": []}
    pretrained = _features(clips, options.backbone, options.weights, 0)
    for seed in range(options.seeds):
        accuracy["pretrained"].append(_test(pretrained, labels, is_test, seed))
        random = _features(clips, options.backbone, "none", seed)
        accuracy["random"].append(_test(random, labels, is_test, seed))
        print(*(f"seed {seed}, {name}: {values[-1]:.1%}" for name, values in accuracy.items()), sep="\n", flush=True)
    print(*(f"{name}: {np.mean(values):.1%} ± {np.std(values):.1%}" for name, values in accuracy.items()), sep="\n")
    if options.json:
        write_json(options.json, accuracy)


def _views(path: Path, num_views: int) -> np.ndarray:
    """Returns evenly spaced frames, resized and cut as training does it: uint8[views, 224, 224, 3]."""
    frames = list(read_frames(path))
    starts = view_starts(np.array([len(frames)]), 1, num_views)[0]
    return np.stack([_centre(frames[start]) for start in starts])


def _centre(frame: np.ndarray) -> np.ndarray:
    scale = 256 / min(frame.shape[:2])
    resized = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    top, left = (resized.shape[0] - SIDE) // 2, (resized.shape[1] - SIDE) // 2
    return resized[top : top + SIDE, left : left + SIDE]


def _features(clips: np.ndarray, backbone: str, weights: str, seed: int) -> np.ndarray:
    """Returns standardised features, float32[videos, views, D]."""
    import keras

    from streams.networks.build import build_network
    from streams.networks.preprocessing import Pixels
    from streams.networks.start import pretrain

    keras.utils.set_random_seed(seed)
    network = build_network(backbone, Pixels("rgb", 3, SIDE), 2)
    if weights != "none":
        pretrain(network, backbone, weights)
    features = keras.Model(network.input, network.get_layer("features").output)
    if weights == "none":
        # Statistics of a fresh network are of nothing: a few batches give it those of its own activations.
        for layer in features.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = 0.0
        features(clips[:16].reshape(-1, *clips.shape[2:])[::2], training=True)
    found = features.predict(clips.reshape(-1, *clips.shape[2:]), batch_size=32, verbose=0)
    return (found - found.mean(0)).reshape(*clips.shape[:2], -1) / (found.std(0) + 1e-6)


def _test(features: np.ndarray, labels: np.ndarray, is_test: np.ndarray, seed: int) -> float:
    """Trains a last layer and returns its video accuracy, by the mean of the views' logits."""
    import keras

    from pipelines.sampling import draw_rows
    from streams.training.kept_features import feature_batches

    keras.utils.set_random_seed(seed)
    inputs = keras.Input(features.shape[2:])
    head = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Dropout(0.5)(inputs)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    head.compile(optimizer=keras.optimizers.Adam(1e-3, weight_decay=0.1), loss=loss)
    steps = int((~is_test).sum()) // 32
    videos = [Video(str(row), "", "", (int(label),), "") for row, label in enumerate(labels[~is_test])]
    draw = draw_rows(videos, 32, seed)
    batches = feature_batches(features[~is_test], labels[~is_test], draw, seed=seed, start_step=0)
    head.fit(batches, epochs=EPOCHS, steps_per_epoch=steps, shuffle=False, verbose=0)
    logits = head.predict(features[is_test].reshape(-1, features.shape[-1]), verbose=0)
    chosen = logits.reshape(int(is_test.sum()), features.shape[1], 2).mean(1).argmax(1)
    return float((chosen == labels[is_test]).mean())


if __name__ == "__main__":
    run(main)
