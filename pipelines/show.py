"""Draws what a network really sees: one row an input, one column a clip, as training cuts, mirrors and colours it.

python pipelines/show.py --out inputs.png
python pipelines/show.py --dataset ucf101 --augment corners --crop-size 224 --inputs rgb flow
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from commands.options import positive
from commands.running import quiet_tensorflow, run, write_json
from data.catalog import DataSet, Video
from data.flow_levels import dequantise
from data.packed import read_stored
from data.ready import ready_dataset
from data.recipe import read_description
from pipelines.inputs import AUGMENTATIONS, KINDS, Input

if TYPE_CHECKING:
    from pipelines.sheet import Column, Row

NO_WARPED = "warped is not shown: it needs flow that is compensated for the camera, of prepare.py --method warped."


def main(argv: Sequence[str] | None = None) -> None:
    """Writes the contact sheet that the command line asks for."""
    options = _parse(argv)
    dataset = ready_dataset(options.dataset, options.root)
    is_warped = read_description(dataset.root).get("method") == "warped"
    kinds = options.inputs or [kind for kind in KINDS if kind != "warped" or is_warped]
    quiet_tensorflow()
    from pipelines.sheet import draw_sheet

    videos = dataset.part(options.split, "train")
    plan = _plan(dataset, videos, Input(), options)
    columns = [_column(dataset, videos, plan, number, options) for number in range(options.clips)]
    rows = [_row(dataset, videos, Input(kind, options.length), options) for kind in kinds]
    draw_sheet(columns, rows, options.out, "" if options.inputs or is_warped else NO_WARPED)
    if options.json:
        clips = [{"video": column.title, "box": list(column.box)} for column in columns]
        write_json(options.json, {"picture": str(options.out), "inputs": list(kinds), "clips": clips})
    print(f"Wrote {options.out}: batch 0 of a training with --augment {options.augment} --seed {options.seed}.")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="shapes", metavar="NAME", help="whose training list (default: shapes)")
    parser.add_argument("--root", type=Path, metavar="DIR", help="its folder (default: datasets/<data set>)")
    parser.add_argument("--split", type=positive, default=1, metavar="N", help="of the training list (default: 1)")
    parser.add_argument("--inputs", nargs="+", choices=KINDS, help="(default: all that the data set's flow is fit for)")
    parser.add_argument(
        "--length", type=positive, default=4, metavar="L", help="frames or fields in a clip (default: 4)"
    )
    parser.add_argument("--augment", choices=AUGMENTATIONS, default="corners")
    parser.add_argument("--crop-size", type=positive, default=64, metavar="PIXELS", help="(default: 64)")
    parser.add_argument("--clips", type=positive, default=2, metavar="N", help="of each input (default: 2)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the training that is shown (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("inputs.png"), metavar="FILE", help="(default: inputs.png)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was drawn here too")
    return parser.parse_args(argv)


def _drawn(options: argparse.Namespace) -> dict[str, Any]:
    from pipelines.drawing import Drawing

    return {"batch_size": options.clips, "seed": options.seed, "drawing": Drawing(options.augment)}


def _plan(dataset: DataSet, videos: Sequence[Video], clip: Input, options: argparse.Namespace) -> dict[str, np.ndarray]:
    """Returns the numbers that batch 0 is made from."""
    import tensorflow as tf

    from pipelines.clips import plan_batch
    from pipelines.drawing import draw_rows
    from pipelines.source import Source

    drawn = _drawn(options)
    draw = draw_rows(videos, **drawn)
    plan = plan_batch(Source(dataset, videos, clip), draw, tf.constant(0, tf.int64), **drawn)
    return {name: values.numpy() for name, values in plan.items()}


def _column(
    dataset: DataSet, videos: Sequence[Video], plan: dict[str, np.ndarray], number: int, options: argparse.Namespace
) -> "Column":
    import tensorflow as tf

    from pipelines.augment import random_box
    from pipelines.decode import decode_image
    from pipelines.sheet import Column

    video, start, randoms = videos[plan["row"][number]], int(plan["starts"][number, 0]), plan["randoms"][number]
    stored = read_stored(dataset.layout.frame_path(dataset.root, video, start))
    frame = decode_image(tf.constant(stored), 3).numpy()
    box = random_box(options.augment, frame.shape[0], frame.shape[1], options.crop_size, randoms).numpy().tolist()
    top, left, height, width = box
    mirrored = ", mirrored" if options.augment != "none" and randoms[4] < 0.5 else ""
    shown = ", ".join(dataset.classes[label] for label in video.labels)
    words = f"{shown}; box of {width} x {height} at ({left}, {top}){mirrored}"
    return Column(video.name, words, f"on disk: {start + 1}", frame, box)


def _row(dataset: DataSet, videos: Sequence[Video], clip: Input, options: argparse.Namespace) -> "Row":
    import tensorflow as tf

    from pipelines.clips import train_batches
    from pipelines.failures import explain_failure
    from pipelines.sampling import clip_offsets
    from pipelines.sheet import Row
    from pipelines.source import Source

    batches = train_batches(dataset, videos, clip, crop_size=options.crop_size, **_drawn(options))
    try:
        images = next(iter(batches))[0].numpy()
    except tf.errors.OpError as error:
        said = explain_failure(dataset, videos, clip, step=0, crop_size=options.crop_size, **_drawn(options))
        if not said:
            raise
        raise ValueError(f"No picture of {clip.kind} can be made: {said}") from error
    source = Source(dataset, videos, clip)
    if clip.is_flow:
        images = dequantise(images, source.bound, source.rule)
    plan = _plan(dataset, videos, clip, options)
    counts = source.num_items.numpy()[plan["row"]]
    items = (plan["starts"] + clip_offsets(clip)) % counts[:, None] + 1
    return Row(clip, list(images), items.tolist())


if __name__ == "__main__":
    run(main)
