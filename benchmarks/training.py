"""Measures the training loop against the bare compiled step, and both with the real input, on the built-in data set.

python benchmarks/training.py                 # one core; --cores 2 for two
python benchmarks/training.py --determinism   # what deterministic mode costs

CPU time, not time on the wall: other processes disturb it less. The loop and what it is held against take turns,
epoch by epoch, in one process. The loop counts all that training does around a step, checkpoints included.
"""

import argparse
import contextlib
import dataclasses
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from commands.running import quiet_tensorflow, run, write_json
from data.ready import ready_dataset

BATCH = 32
# What each share should reach at least, on a processor.
EXPECTED = {"loop / bare step": 0.97, "loop with real input / step and input alone": 0.97}


def main(argv: Sequence[str] | None = None) -> None:
    """Measures and prints what is expected beside what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, metavar="DIR", help="the built-in data set's folder")
    parser.add_argument("--cores", type=int, default=1, metavar="N", help="processor cores to use")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="turns of each")
    parser.add_argument("--steps", type=int, default=13, metavar="N", help="steps in a turn")
    parser.add_argument("--no-deterministic", action="store_true", help="without deterministic mode, to see its cost")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")
    parser.add_argument("--determinism", action="store_true", help="both modes, one after the other, side by side")
    options = parser.parse_args(argv)
    if options.determinism:
        _compare_modes(argv if argv is not None else sys.argv[1:], options.json)
        return
    dataset = ready_dataset("shapes", options.root)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    quiet_tensorflow()
    found = measure(dataset, options.rounds, options.steps, deterministic=not options.no_deterministic)
    print(f"{'milliseconds of CPU a step':46}" + "".join(f"{name:>24}" for name in ("median", "least", "most")))
    for name, times in found.items():
        print(
            f"{name:46}" + "".join(f"{1e3 * each:24.1f}" for each in (statistics.median(times), min(times), max(times)))
        )
    median = {name: statistics.median(times) for name, times in found.items()}
    shares = {
        "loop / bare step": median["bare step"] / median["loop"],
        "loop with real input / step and input alone": (median["bare step"] + median["real input alone"])
        / median["loop with real input"],
    }
    for name, share in shares.items():
        print(f"{name}: {share:.3f}, expected at least {EXPECTED[name]}")
    if options.json:
        write_json(options.json, {"seconds a step": found, "shares": shares})


def _compare_modes(argv: Sequence[str], path: Path | None) -> None:
    """Measures with deterministic mode and without, each in a process of its own, as it can't be left."""
    words, found = [word for word in argv if word != "--determinism"], []
    for mode in ([], ["--no-deterministic"]):
        with tempfile.TemporaryDirectory() as folder:
            numbers = Path(folder) / "numbers.json"
            subprocess.run([sys.executable, __file__, *words, *mode, "--json", str(numbers)], check=True)
            found.append(json.loads(numbers.read_text())["seconds a step"])
    with_it, without = ({name: statistics.median(times) for name, times in each.items()} for each in found)
    print(f"{'milliseconds of CPU a step, median':46}{'deterministic':>24}{'not':>24}{'cost':>12}")
    for name, seconds in with_it.items():
        print(f"{name:46}{1e3 * seconds:24.1f}{1e3 * without[name]:24.1f}{seconds / without[name] - 1:12.1%}")
    if path:
        write_json(path, {"deterministic": found[0], "not": found[1]})


def measure(dataset: Any, rounds: int, steps: int, *, deterministic: bool) -> dict[str, list[float]]:
    """Returns the seconds of CPU a step of each kind, one number a turn."""
    import tensorflow as tf

    from benchmarks.training_turns import Epochs, Turns
    from streams.distribution import strategy_for
    from streams.runs import Run
    from streams.training import train
    from temporal.train import TemporalConfig, ingredients

    config = TemporalConfig(
        protocol="paper", epochs=rounds + 1, batch_size=BATCH, deterministic=deterministic, checkpoint_minutes=60
    )
    strategy = strategy_for(config)
    real = ingredients(config, dataset, dataset.part(1, "train"), ())
    batch = next(iter(real.batches(start_step=0)))
    in_memory = dataclasses.replace(real, batches=lambda **place: tf.data.Dataset.from_tensors(batch).repeat())
    bare, alone = Turns("bare step", steps), Turns("real input alone", steps)
    loop, loop_real = Epochs("loop", steps, bare, batch), Epochs("loop with real input", steps)
    # Input is fetched ahead in threads of its own, so it has its turns while nothing else is measured.
    alone.one = iter(real.batches(start_step=0)).__next__
    for _ in range(rounds + 1):
        alone.take()
    alone.one = lambda: None
    for given, watch in ((in_memory, loop), (real, loop_real)):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            train(
                given,
                steps_per_epoch=steps,
                config=config,
                run=Run(Path(folder)),
                strategy=strategy,
                watch=watch,
            )
    # The first turn builds graphs and finds memory.
    return {turns.name: turns.seconds[1:] for turns in (bare, loop, alone, loop_real)}


if __name__ == "__main__":
    run(main)
