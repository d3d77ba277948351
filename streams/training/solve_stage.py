"""Trains by solving the last layer: without epochs and checkpoints, and resumed from its kept features."""

import time
from collections.abc import Sequence

import keras
import numpy as np

from commands.files import write_json
from data.catalog import Video
from pipelines.clip_stream import ClipStream
from streams.config import TrainConfig
from streams.last_layer.likelihood import losses
from streams.last_layer.moments import predicted
from streams.last_layer.solving import Solution, solve_last_layer
from streams.runs.costs import Cost
from streams.runs.model_file import file_hash, save_model
from streams.runs.run_folder import Run, is_finished
from streams.runs.score_file import Scores, write_scores
from streams.training.devices import peak_memory
from streams.training.fit import Learner
from streams.training.kept_features import kept_features
from streams.training.records import described_training, write_history


def solve_stage(learner: Learner, clips: ClipStream, config: TrainConfig, run: Run) -> Cost | None:
    """Computes the features of the training videos, solves the last layer on them, and saves the network.

    It also saves each fold's logits for the videos that it was not trained on, for fusion to learn from. With
    `--dry-run`, it only rehearses this.
    """
    if config.dry_run:
        return _rehearse(learner, clips, config, run)
    with run.locked():
        if is_finished(config, run):
            return None
        start = time.monotonic()
        features, labels = kept_features(learner.network, clips, clips.videos, run, config)
        # The layer is linear, so the mean of a video's logits over views equals the logits of its mean features.
        features = features.mean(axis=1)
        groups = [video.group for video in clips.videos]
        solution = solve_last_layer(learner.network, features, labels, groups, config.seed)
        result = _result(learner.network, features, labels, solution)
        run.clear()
        save_model(learner.network, learner.card, run.model)
        write_scores(run.held_out, _held_out_scores(learner, clips.videos, labels, solution, run))
        write_history(run.history, [{name: result[name] for name in _NUMBERS}])
        described = described_training(config, run, learner.card)
        found = {"parts": solution.weights, "result": result, "skipped": {}, "seconds": time.monotonic() - start}
        write_json(run.config, {**described, **found})
    return None


def _rehearse(learner: Learner, clips: ClipStream, config: TrainConfig, run: Run) -> Cost:
    """Computes the features of a few videos, and returns the cost for all of them. Solving takes little time."""
    few = clips.videos[:_FEW]
    kept_features(learner.network, clips, few[:1], run, config)  # Builds the graph.
    start = time.monotonic()
    kept_features(learner.network, clips, few, run, config)
    seconds = (time.monotonic() - start) / len(few)
    print(f"Rehearsed: {seconds:.3f} s per video, {len(clips.videos)} videos.", flush=True)
    return Cost(1, len(clips.videos), seconds, 0.0, peak_memory())


_FEW = 5
_NUMBERS = ("loss", "accuracy", "val_loss", "val_accuracy")


def _result(network: keras.Model, features: np.ndarray, labels: np.ndarray, solution: Solution) -> dict[str, float]:
    """Returns the loss and accuracy on the training videos, after training on all and as held out by the folds."""
    inputs = network.get_layer("features").output
    fitted = predicted(keras.Model(inputs, network.output), features)
    found: dict[str, float] = {"epoch": 1, "epochs": 1}
    for prefix, logits in (("", fitted), ("val_", solution.held_out)):
        found[f"{prefix}loss"] = float(losses(logits, labels).mean())
        found[f"{prefix}accuracy"] = _accuracy(logits, labels)
    return found


def _accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    best = logits.argmax(axis=1)
    right = best == labels if labels.ndim == 1 else labels[np.arange(len(labels)), best]
    return float(np.mean(right))


def _held_out_scores(
    learner: Learner, videos: Sequence[Video], labels: np.ndarray, solution: Solution, run: Run
) -> Scores:
    card = learner.card
    return Scores(
        stream=card.stream,
        data_set=card.data_set,
        split=card.split,
        part="held-out",
        protocol="folds",
        model_hash=file_hash(run.model),
        data_hash=run.data_hash,
        selection=card.chosen,
        classes=card.classes,
        videos=tuple(video.name for video in videos),
        labels=labels,
        view_logits=solution.held_out[:, None],
    )
