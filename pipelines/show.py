"""Draws the clips of a first batch as a network sees them, with a row for each input and a column for each clip.

./run show --out inputs.png
./run show --dataset ucf101 --augment corners --crop-size 224 --inputs rgb flow
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from commands import packages

    packages.check()  # Before the first import that may fail.

from commands.files import write_json
from commands.options import Parser, positive
from commands.running import quiet_tensorflow, run
from data.ready import ready_dataset
from data.store.index import read_description
from pipelines.inputs import AUGMENTATIONS, KINDS, SHOWN, Input

NO_WARPED = "warped is not shown: it needs flow that is compensated for the camera, by ./run prepare --method warped."


def main(argv: Sequence[str] | None = None) -> None:
    """Writes the contact sheet that the command line asks for."""
    options = _parse(argv)
    dataset = ready_dataset(options.dataset, options.root)
    is_warped = read_description(dataset.root).get("method") == "warped"
    kinds = options.inputs or [kind for kind in KINDS if kind != "warped" or is_warped]
    quiet_tensorflow()
    from pipelines.sheet.first_batch import FirstBatch  # Importing TensorFlow takes seconds.

    shown = dataset, dataset.part(options.split, "train"), options.clips, options.crop_size
    note = "" if options.inputs or is_warped else NO_WARPED
    clips = [Input(kind, options.length) for kind in kinds]
    columns = FirstBatch(*shown, options.augment, options.seed, options.shown).draw(clips, options.out, note)
    if options.json:
        boxes = [{"video": column.title, "box": list(column.box)} for column in columns]
        write_json(options.json, {"picture": str(options.out), "inputs": list(kinds), "clips": boxes})
    print(f"Wrote {options.out}: batch 0 of a training with --augment {options.augment} --seed {options.seed}.")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__)
    data = parser.add_argument_group("data")
    drawing = parser.add_argument_group("drawing")
    output = parser.add_argument_group("output")
    data.add_argument("--dataset", default="shapes", metavar="NAME", help="data set whose training clips are drawn")
    data.add_argument("--root", type=Path, metavar="FOLDER", help="its folder (default: datasets/<data set>)")
    data.add_argument("--split", type=positive, default=1, metavar="N", help="its split")
    drawing.add_argument(
        "--inputs",
        nargs="+",
        choices=KINDS,
        metavar="NAME",
        help=f"kinds of input to draw: {', '.join(KINDS)} (default: all for which the data set has flow)",
    )
    drawing.add_argument("--length", type=positive, default=4, metavar="N", help="frames or fields in a clip")
    drawing.add_argument("--augment", choices=AUGMENTATIONS, default="corners", help="augmentation of the clips")
    drawing.add_argument("--shown", choices=SHOWN, default="pixels", help="part of a frame that a clip shows")
    drawing.add_argument(
        "--crop-size",
        type=positive,
        default=64,
        metavar="PIXELS",
        help="side of the square that the network sees",
    )
    drawing.add_argument("--clips", type=positive, default=2, metavar="N", help="clips to draw for each input")
    drawing.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the training")
    output.add_argument(
        "--out",
        type=Path,
        default=Path("inputs.png"),
        metavar="FILE",
        help="file for the picture",
    )
    output.add_argument("--json", type=Path, metavar="FILE", help="also write what was drawn to this file")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
