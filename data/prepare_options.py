"""The command line of data/prepare.py."""

import argparse
import contextlib
from pathlib import Path

from commands.help_page import Layout
from commands.options import Parser, part_of, positive, two_of
from commands.running import usable_processors
from data.extraction.all_videos import Work
from data.extraction.other_tools import AUTO, LAYOUTS
from data.extraction.video_limits import add_limits
from data.optical_flow.compute import METHODS
from data.optical_flow.engine import ENGINES
from data.optical_flow.levels import RULES
from data.optical_flow.parameters import bound_in_pixels, named_value
from data.ready import BUILT_IN, KNOWN
from data.store.description import FLOW, FRAMES, INDEX, Recipe
from data.store.mapped_writer import AS_FITS, FORMS, LARGE

_FIRST = (
    *(
        "root",
        "videos",
        "annotations",
        "download",
        "frames",
        "method",
        "preset",
        "short_side",
        "fps",
        "limit",
        "workers",
    ),
    *("engine", "pack", "json"),
)


def preparing_parser(description: str) -> argparse.ArgumentParser:
    """Returns the parser of the command's options."""
    parser = Parser(description, Layout(first=_FIRST))
    names = f"{', '.join(KNOWN)}, or a name of your own"
    parser.add_argument("dataset", nargs="?", default=BUILT_IN, metavar="NAME", help=names)
    add = parser.add_argument_group("data").add_argument
    add("--root", type=Path, metavar="FOLDER", help="its folder (default: datasets/<data set>)")
    add("--videos", type=Path, metavar="FOLDER", help="folder of the videos (default: <root>/videos)")
    add(
        "--segments",
        type=Path,
        metavar="FILE",
        help="cut --videos into clips by this table: video,label,start,end, or a Label Studio export",
    )
    add("--with-nothing", action="store_true", help="with --segments: also cut unlabelled clips, as the class nothing")
    add("--annotations", type=Path, metavar="FOLDER", help="folder of the lists (default: <root>/annotations)")
    add("--download", action="store_true", help="download missing files from the authors' site")
    add("--frames", type=Path, metavar="FOLDER", help="use frames and flow that another tool extracted")
    add("--layout", choices=(AUTO, *LAYOUTS), default=AUTO, help="layout of --frames; auto recognises it by file names")
    add("--rule", choices=tuple(RULES), help="rule of flow levels in --frames (default: that of the layout)")
    _add_what_is_made(parser.add_argument_group("frames and flow"))
    _add_how_it_is_done(parser.add_argument_group("processing"))
    add = parser.add_argument_group("output").add_argument
    add(
        "--index",
        choices=FORMS,
        default=AS_FITS,
        help="index.csv, which people can read; a table for very many videos; or both (default: a table from "
        f"{LARGE:,} videos on)",
    )
    add("--write-lists", action="store_true", help="also write lists for mmaction2")
    add("--older-layout", type=Path, metavar="FOLDER", help="also link files there, as jpegs_256, tvl1_flow/u and v")
    add("--strict", action="store_true", help="fail if any video is broken, missing or short")
    add("--json", type=Path, metavar="FILE", help="also write the outcome of each video to this file")
    return parser


def _add_what_is_made(made: argparse._ArgumentGroup) -> None:
    made.add_argument(
        "--only",
        choices=(FRAMES, FLOW, INDEX),
        default="",
        help="make only frames or only flow (default: both); index makes neither, and commands make both from the "
        "videos when they need them",
    )
    made.add_argument(
        "--as-stored", action="store_true", help="with --only index: pass frames and flow through JPEG, as if stored"
    )
    made.add_argument("--method", choices=METHODS, default=Recipe.method, help="flow method")
    made.add_argument("--preset", default=Recipe.preset, metavar="NAME", help="preset of the method")
    made.add_argument(
        "--set",
        action="append",
        type=named_value,
        default=[],
        metavar="NAME=VALUE",
        help="set a parameter of the method; can be repeated",
    )
    made.add_argument(
        "--bound", type=bound_in_pixels, default=Recipe.bound, metavar="PIXELS", help="largest motion to store"
    )
    made.add_argument(
        "--step", type=positive, default=1, metavar="N", help="frames from the first to the second frame of a pair"
    )
    made.add_argument("--backward", action="store_true", help="also store flow to the previous frame")
    _add_frames(made)


def _add_frames(made: argparse._ArgumentGroup) -> None:
    sizes = made.add_mutually_exclusive_group()
    sizes.add_argument(
        "--short-side",
        type=_not_negative,
        metavar="N",
        help="shorter side of frames; 0 keeps it (default: 256; own videos: at most 256)",
    )
    sizes.add_argument("--size", type=_size, metavar="WxH", help="exact size of frames, even if it distorts them")
    some = made.add_mutually_exclusive_group()
    some.add_argument("--fps", type=_rate, metavar="N", help="frames to keep per second (default: all)")
    some.add_argument("--every", type=positive, default=1, metavar="N", help="keep one frame in N")
    made.add_argument(
        "--limit",
        type=positive,
        default=0,
        metavar="N",
        help="prepare only N of the existing videos, equally many of each class (default: all)",
    )


def _add_how_it_is_done(done: argparse._ArgumentGroup) -> None:
    done.add_argument("--workers", type=positive, default=usable_processors(), metavar="N", help="number of processes")
    done.add_argument(
        "--engine", choices=ENGINES, default="auto", help="device for tvl1 flow; auto: a GPU if there is one"
    )
    done.add_argument("--cluster", default="", metavar="ADDRESS", help="a Dask scheduler, like tls://host:8786")
    done.add_argument(
        "--tls", type=Path, metavar="FOLDER", help="the scheduler's certificate and key, cert.pem and key.pem"
    )
    done.add_argument(
        "--shard",
        type=part_of,
        default=(1, 1),
        metavar="N/N",
        help="part that this machine prepares, and the number of parts (default: 1/1)",
    )
    done.add_argument("--pack", action="store_true", help="store one archive per video instead of loose files")
    done.add_argument("--merge", action="store_true", help="merge the indexes of all shards into one")
    done.add_argument(
        "--time-limit",
        type=float,
        default=Work.time_limit,
        metavar="SECONDS",
        help="seconds that decoding one frame may take",
    )
    add_limits(done)
    done.add_argument("--no-space-check", action="store_true", help="continue even if the disk seems too small")


def _not_negative(word: str) -> int:
    return 0 if word == "0" else positive(word)


def _rate(word: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < (rate := float(word)) < 10_000:
            return rate
    raise argparse.ArgumentTypeError(f"expected a number of frames per second above 0; received {word}")


def _size(word: str) -> tuple[int, int]:
    return two_of(word, "x", "write a size as WIDTHxHEIGHT, like 340x256")
