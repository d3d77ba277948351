"""The scores of a saved model on a test list: read where they were made before, else made."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from commands.running import quiet_tensorflow
from data.catalog import DataSet
from streams.runs import Run
from streams.scores import Scores, read_scores, write_scores


def stream_scores(dataset: DataSet, config: Any, stream: str, model: Path | None) -> Scores:
    """Returns the scores of one stream's model on the test part of the split."""
    this_run = Run.of(config.runs, dataset.name, stream, config.split)
    path, model = this_run.scores("test", f"{config.views}x{config.crops}"), model or this_run.model
    videos = dataset.part(config.split, "test")
    quiet_tensorflow()
    from pipelines.clips import distinct_views
    from pipelines.inputs import Input
    from streams.modelfile import file_hash, load_model, read_card
    from streams.scoring import score_videos

    card, model_hash = read_card(model), file_hash(model)
    if path.exists() and not config.rescore:
        scores = read_scores(path)
        if scores.model_hash == model_hash:
            return scores
    network, _ = load_model(model)
    clip = Input(card.input_kind, card.length)
    views = distinct_views(dataset, videos, clip, num_views=config.views)
    scored = score_videos(network, views, num_crops=config.crops)
    rows = list(track(scored, f"Scoring {stream}", total=len(videos)))
    scores = Scores(
        **{name: getattr(card, name) for name in ("stream", "data_set", "split", "selection", "classes")},
        part="test",
        protocol=f"{config.views}x{config.crops}",
        model_hash=model_hash,
        videos=tuple(video.name for video in videos),
        labels=np.array([label for _, label in rows]),
        view_logits=np.stack([logits for logits, _ in rows]),
    )
    write_scores(path, dataclasses.replace(scores, stream=stream))
    return scores
