"""Measures how many videos a second the service answers, with one worker and with two.

python benchmarks/serving.py VIDEO --spatial FILE --temporal FILE

Clients send the same video over and over, twice as many of them as there are workers. The services are measured in
turns, so that other work on the machine slows all of them alike; compare the ratio. Cores are the processors that this
process may use.
"""

import argparse
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.processes import service
from commands.running import run, usable_processors

PROJECT = Path(__file__).resolve().parents[1]


def main(argv: Sequence[str] | None = None) -> None:
    """Prints videos per second by the number of workers."""
    options = _parse(argv)
    rates: dict[int, list[float]] = {count: [] for count in options.workers}
    for _ in range(options.turns):
        for count in options.workers:
            with _service(options, count) as address:
                _send(address, options.video)  # Compiles.
                rates[count].append(_rate(address, options, count))
    base = median(rates[options.workers[0]])
    print(f"{usable_processors()} cores, {options.videos} videos a turn, {options.turns} turns.\n")
    print("| workers | videos a second | against the first row |\n|---|---|---|")
    for count, found in rates.items():
        print(f"| {count} | {median(found):.2f} | {median(found) / base:.2f} |")


def _rate(address: str, options: argparse.Namespace, count: int) -> float:
    start = time.perf_counter()
    with ThreadPoolExecutor(2 * count) as pool:
        list(pool.map(lambda _: _send(address, options.video), range(options.videos)))
    return float(options.videos / (time.perf_counter() - start))


def _send(address: str, video: Path) -> None:
    border = "----two-streams"
    head = f'--{border}\r\nContent-Disposition: form-data; name="video"; filename="{video.name}"\r\n\r\n'
    body = head.encode() + video.read_bytes() + f"\r\n--{border}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={border}"}
    with urllib.request.urlopen(urllib.request.Request(f"{address}/predict", body, kind), timeout=600) as answer:
        answer.read()


@contextmanager
def _service(options: argparse.Namespace, count: int) -> Iterator[str]:
    words = ["--workers", str(count), "--seconds", "600"]
    words += ["--spatial", str(options.spatial), "--temporal", str(options.temporal)]
    with service(words) as address:
        yield address


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--spatial", type=Path, required=True, metavar="FILE", help="a saved spatial model")
    parser.add_argument("--temporal", type=Path, required=True, metavar="FILE", help="a saved temporal model")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], metavar="N", help="default: 1 2")
    parser.add_argument("--videos", type=int, default=12, metavar="N", help="that are sent (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=2, metavar="N", help="of each (default: %(default)s)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
