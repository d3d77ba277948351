"""The scores of a saved model on a test list: read where they were made before, else made."""

import dataclasses
from pathlib import Path
from typing import Any

from commands.running import quiet_tensorflow
from data.catalog import DataSet
from streams.runs import Run
from streams.scores import Scores, read_scores, write_scores


def test_scores(dataset: DataSet, config: Any, stream: str, model: Path | None) -> Scores:
    """Returns the scores of one stream's model on the test part of the split."""
    this_run = Run.of(config.runs, dataset.name, stream, config.split)
    path, model = this_run.scores("test", f"{config.views}x{config.crops}"), model or this_run.model
    videos = dataset.part(config.split, "test")
    quiet_tensorflow()
    from pipelines.clips import video_views
    from pipelines.inputs import Input
    from streams.modelfile import file_hash, load_model, read_card
    from streams.scoring import score_videos

    card, model_hash = read_card(model), file_hash(model)
    if path.exists() and not config.rescore:
        scores = read_scores(path)
        if scores.model_hash == model_hash:
            return scores
    network, _ = load_model(model)
    views = video_views(dataset, videos, Input(card.input_kind, card.length), num_views=config.views)
    view_logits, labels = score_videos(
        network, views, num_crops=config.crops, num_videos=len(videos), title=f"Scoring {stream}"
    )
    scores = Scores(
        **{name: getattr(card, name) for name in ("stream", "data_set", "split", "selection", "classes")},
        part="test",
        protocol=f"{config.views}x{config.crops}",
        model_hash=model_hash,
        videos=tuple(video.name for video in videos),
        labels=labels,
        view_logits=view_logits,
    )
    write_scores(path, dataclasses.replace(scores, stream=stream))
    return scores
