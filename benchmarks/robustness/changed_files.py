"""Tries what damage, malice, kills and full disks do to the commands, and prints one table.

python benchmarks/robustness/changed_files.py --out FOLDER --inputs 10000
python benchmarks/robustness/changed_files.py --out FOLDER --minutes 5 --kinds index.csv "scores in .pkl"

Everything follows from --seed. What was tried is kept in FOLDER, and the same command goes on from there.
"""

import argparse
import json
import os
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from commands import packages

    packages.check()  # Before the first import that may fail.

from benchmarks.robustness.inputs import Kinds, kinds
from benchmarks.robustness.trial import ENDS, Ended, trial_folder, try_out
from commands.options import positive
from commands.running import run


def main(argv: Sequence[str] | None = None) -> None:
    """Tries the inputs that were not tried before, and prints the table of all."""
    options = _parse(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    known = kinds(options.out / "seeds")
    if options.networks:
        from benchmarks.robustness.networks import kinds_of_networks  # Imports TensorFlow.

        known = {**known, **kinds_of_networks(options.out / "seeds")}
    chosen = {name: known[name] for name in options.kinds or known}
    log = options.out / "trials.jsonl"
    until = time.monotonic() + 60 * options.minutes
    _try_all(chosen, options, log, until)
    print_table(log)
    if any(found["how"] not in ENDS[:2] for found in trials(log)):
        raise ValueError(f"Some inputs were not answered as they must be: {log} says which.")


def _try_all(chosen: Kinds, options: argparse.Namespace, log: Path, until: float) -> None:
    before = {(found["kind"], found["number"]) for found in trials(log)}
    per_kind = -(-options.inputs // len(chosen))
    with log.open("a", encoding="utf-8") as file:
        for number in range(per_kind):
            for name, kind in chosen.items():
                if (name, number) in before:
                    continue
                if time.monotonic() > until:
                    return
                with trial_folder(options.out / "trial") as folder:
                    kind.make(folder, random.Random(f"{options.seed} {name} {number}"))
                    ended = try_out(kind.act, folder, slack=20.0 if kind.needs_networks else 0.0)
                file.write(json.dumps({"kind": name, "number": number, **_kept(ended)}) + "\n")
                file.flush()


def _kept(ended: Ended) -> dict[str, object]:
    """Returns what is kept of a trial: what was said only where it was wrong."""
    said = {"said": ended.said[-1500:]} if ended.how not in ENDS[:2] else {}
    return {"how": ended.how, "seconds": round(ended.seconds, 2), "megabytes": round(ended.megabytes), **said}


def trials(log: Path) -> Iterator[dict[str, object]]:
    """Yields what is known of all trials so far."""
    for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else ():
        yield json.loads(line)


def print_table(log: Path) -> None:
    """Prints how the trials of each kind ended."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    slowest: dict[str, float] = defaultdict(float)
    for found in trials(log):
        counts[str(found["kind"])][str(found["how"])] += 1
        slowest[str(found["kind"])] = max(slowest[str(found["kind"])], float(str(found["seconds"])))
    counts["all"] = sum(counts.values(), Counter())
    slowest["all"] = max(slowest.values(), default=0.0)
    width = max(map(len, counts))
    print(f"{'':{width}}  {'tried':>7}  " + "  ".join(f"{end:>8}" for end in ENDS) + f"  {'slowest':>8}")
    for kind, ends in counts.items():
        cells = "  ".join(f"{ends[end]:>8,}" for end in ENDS)
        print(f"{kind:{width}}  {ends.total():>7,}  {cells}  {slowest[kind]:>6.1f} s")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where trials are kept")
    parser.add_argument("--inputs", type=positive, default=10_000, metavar="N", help="inputs to try, of all kinds")
    parser.add_argument("--minutes", type=float, default=1e6, metavar="N", help="stop after so many minutes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", metavar="KIND", help="only these kinds")
    parser.add_argument("--networks", action="store_true", help="also models and checkpoints, which need TensorFlow")
    return parser.parse_args(argv)


if __name__ == "__main__":
    os.environ["TWO_STREAM_SILENT"] = "1"  # Each trial is a fork, which no other thread may be in the middle of.
    run(main)
