"""Where each stream looks in chosen videos, as pictures."""

from collections.abc import Sequence

import numpy as np

from commands.quiet import quiet_tensorflow
from data.catalog import DataSet, Video
from data.flow import colour_wheel
from fusion.pictures import data_uri
from fusion.stream_scores import Scoring


def looks(
    dataset: DataSet, split: int, stream: str, scoring: Scoring, videos: Sequence[tuple[Video, int]]
) -> list[str]:
    """Returns for each `(video, class)` what speaks for the class in its middle view, laid over that view.

    Nothing is returned for networks without a convolutional map, or with inputs that are no single image.
    """
    quiet_tensorflow()
    from fusion.gradcam import heat_of_frame, looker, with_heat
    from fusion.scorers import Scorer, clip_of
    from pipelines.unreadable import readable_views

    scorer = Scorer.load(scoring.model(dataset, split, stream))
    try:
        parts = looker(scorer.network)
    except ValueError:
        return []
    clip = clip_of(scorer.card)
    views = readable_views(dataset, [video for video, _ in videos], clip, num_views=1)
    drawn = []
    for (_, label), (view, *_) in zip(videos, views, strict=True):
        pixels = view.numpy()[0]
        drawn.append(data_uri(with_heat(_as_picture(pixels, clip.is_flow), heat_of_frame(parts, pixels, label))))
    return drawn


def _as_picture(pixels: np.ndarray, is_flow: bool) -> np.ndarray:
    """Returns a view as RGB: its middle field in the colours of flow, its middle frame, or its middle channel."""
    channels = pixels.shape[-1]
    if is_flow:
        middle = channels // 4 * 2
        return colour_wheel(pixels[..., middle : middle + 2].astype(np.float32) - 128)
    if channels % 3 == 0:
        middle = channels // 6 * 3
        return pixels[..., middle : middle + 3]
    return np.repeat(pixels[..., channels // 2, None], 3, axis=-1)
