"""Draws what a network really sees: one row an input, one column a clip, as training cuts, mirrors and colours it.

python pipelines/show.py --out inputs.png
python pipelines/show.py --dataset ucf101 --augment corners --inputs rgb flow
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from commands.running import quiet_tensorflow, run
from data.prepare import ready_dataset
from pipelines.inputs import KINDS, Input

SHOWN = tuple(kind for kind in KINDS if kind != "warped")


def main(argv: Sequence[str] | None = None) -> None:
    """Writes the contact sheet that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="shapes", metavar="NAME", help="whose training list (default: shapes)")
    parser.add_argument("--root", type=Path, metavar="DIR", help="its folder (default: datasets/<data set>)")
    parser.add_argument("--split", type=int, default=1, metavar="N", help="of the training list (default: 1)")
    parser.add_argument("--inputs", nargs="+", choices=KINDS, default=SHOWN, help="(default: all but warped)")
    parser.add_argument("--length", type=int, default=4, metavar="L", help="frames or fields in a clip (default: 4)")
    parser.add_argument("--augment", choices=("none", "flip", "paper", "corners"), default="corners")
    parser.add_argument("--crop-size", type=int, default=64, metavar="PIXELS", help="(default: 64)")
    parser.add_argument("--clips", type=int, default=4, metavar="N", help="of each input (default: 4)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the training that is shown (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("inputs.png"), metavar="FILE", help="(default: inputs.png)")
    options = parser.parse_args(argv)
    dataset = ready_dataset(options.dataset, options.root)
    quiet_tensorflow()
    from pipelines.clips import train_batches
    from pipelines.drawing import Drawing, batch_videos
    from pipelines.sheet import draw_sheet

    videos = dataset.part(options.split, "train")
    drawn = {"batch_size": options.clips, "seed": options.seed, "drawing": Drawing(options.augment)}
    rows = {
        clip: next(iter(train_batches(dataset, videos, clip, crop_size=options.crop_size, **drawn)))[0].numpy()
        for clip in (Input(kind, options.length) for kind in options.inputs)
    }
    names = batch_videos(videos, step=0, **drawn)
    captions = [dataset.classes[dataset.videos[name].labels[0]] for name in names]
    draw_sheet(rows, captions, dataset.layout.rule, options.out)
    print(f"Wrote {options.out}: batch 0 of a training with --augment {options.augment} --seed {options.seed}.")


if __name__ == "__main__":
    run(main)
