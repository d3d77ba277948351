"""Compares the training loop with the bare compiled step, and both with real input.

python benchmarks/training/loop.py                     # the built-in data set and its small network, on one core
python benchmarks/training/loop.py --network resnet50  # frames of 340x256, crops of 224; cnn_m_2048 for flow
python benchmarks/training/loop.py --cores 2
python benchmarks/training/loop.py --determinism       # the cost of deterministic mode
python benchmarks/training/loop.py --network resnet18-flow-112 --torch PYTHON  # PyTorch's step, by a Python with it

The loop and its references take turns, epoch by epoch, in one process. The loop includes everything around a step, also
checkpoints. On one core, processor time is measured, which other work affects less; on several cores, elapsed time, so
nothing else should run.
"""

import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from commands import packages

    packages.check()  # Before the first import that may fail.

from commands.files import write_json
from commands.running import quiet_tensorflow, run
from data.catalog import DataSet
from data.ready import ready_dataset
from pipelines.inputs import Input
from spatial.train import SpatialConfig
from temporal.train import TemporalConfig

# The stream of each network, clips in a step, and the side of a clip. PyTorch's is ResNet-18.
NETWORKS = {
    "small": ("temporal", 32, 56),
    "resnet50": ("spatial", 8, 224),
    "cnn_m_2048": ("temporal", 16, 224),
    "resnet18-flow-112": ("temporal", 8, 112),
    "resnet18-flow-224": ("temporal", 8, 224),
    "resnet18-rgb-224": ("spatial", 8, 224),
}
SHARES = {
    "bare step / loop": 0.97,
    "slower of step and input / loop with input": 0.97,
    "step and input, one after the other / loop with input": 0.97,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, and prints the expected and the measured values."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=NETWORKS, default="small", help="which one (default: small)")
    parser.add_argument("--root", type=Path, metavar="DIR", help="the built-in data set's folder")
    parser.add_argument("--cores", type=int, default=1, metavar="N", help="processor cores to use (default: 1)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="turns of each (default: 3)")
    parser.add_argument("--steps", type=int, default=100, metavar="N", help="steps in a turn (default: 100)")
    parser.add_argument("--no-deterministic", action="store_true", help="without deterministic mode")
    parser.add_argument("--determinism", action="store_true", help="both modes, one after the other, side by side")
    parser.add_argument("--torch", metavar="PYTHON", help="a Python with torchvision, for a resnet18 on one core")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")
    options = parser.parse_args(argv)
    if options.torch and (options.cores != 1 or not options.network.startswith("resnet18")):
        parser.error("--torch compares a resnet18 on one core")
    if options.determinism:
        compare_modes(argv if argv is not None else sys.argv[1:], options.json)
        return
    with dataset_of(options.network, options.root) as dataset:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
        quiet_tensorflow()
        found = measure(dataset, options)
    clips = NETWORKS[options.network][1]
    print(f"{'':24}{'ms a step':>12}{'least':>10}{'most':>10}{'clips/s':>10}")
    for name, times in found.items():
        middle = statistics.median(times)
        print(f"{name:24}{1e3 * middle:12.1f}{1e3 * min(times):10.1f}{1e3 * max(times):10.1f}{clips / middle:10.1f}")
    if options.torch:
        turns = [ours / theirs for ours, theirs in zip(found["bare step"], found["PyTorch"], strict=True)]
        print(f"\nbare step / PyTorch's, in each turn: {', '.join(f'{turn:.3f}' for turn in turns)}; wanted at most 1")
    shares = shares_of({name: statistics.median(times) for name, times in found.items()})
    print(f"\n{'':56}{'expected':>9}{'measured':>10}")
    for name, share in shares.items():
        print(f"{name:56}{SHARES[name]:9.2f}{share:10.3f}")
    if options.json:
        write_json(options.json, {"seconds a step": found, "shares": shares})


def compare_modes(argv: Sequence[str], path: Path | None) -> None:
    """Measures with deterministic mode and without, in two processes because the mode can't be switched off."""
    words, found = [word for word in argv if word != "--determinism"], []
    for mode in ([], ["--no-deterministic"]):
        with tempfile.TemporaryDirectory() as folder:
            numbers = Path(folder) / "numbers.json"
            subprocess.run([sys.executable, __file__, *words, *mode, "--json", str(numbers)], check=True)
            found.append(json.loads(numbers.read_text())["seconds a step"])
    with_it, without = ({name: statistics.median(times) for name, times in each.items()} for each in found)
    print(f"\n{'ms a step':24}{'deterministic':>16}{'not':>10}{'cost':>10}")
    for name, seconds in with_it.items():
        print(f"{name:24}{1e3 * seconds:16.1f}{1e3 * without[name]:10.1f}{seconds / without[name] - 1:10.1%}")
    if path:
        write_json(path, {"deterministic": found[0], "not": found[1]})


@contextlib.contextmanager
def dataset_of(network: str, root: Path | None) -> Iterator[DataSet]:
    """Returns the built-in data set for the small network, and synthetic frames of a usual size for others."""
    from benchmarks.pipelines.made_data import make_dataset

    if network == "small":
        yield ready_dataset("shapes", root)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield make_dataset(Path(folder), 16)


def shares_of(seconds: dict[str, float]) -> dict[str, float]:
    """Returns the ratios of the loop to its references, by name."""
    step, alone, real = seconds["bare step"], seconds["input alone"], seconds["loop with input"]
    return dict(zip(SHARES, (step / seconds["loop"], max(step, alone) / real, (step + alone) / real), strict=True))


def measure(dataset: DataSet, options: argparse.Namespace) -> dict[str, list[float]]:
    """Returns the seconds per step of each kind, one number per turn."""
    import tensorflow as tf

    from benchmarks.training.trainings import ChangedClips, learner_of
    from benchmarks.training.turns import Epochs, Turns, of_torch
    from streams.runs.run_folder import Run
    from streams.training.fit import train
    from streams.training.stage import clips_of, strategy_for

    rounds, steps = options.rounds, options.steps
    clock = time.process_time if options.cores == 1 else time.perf_counter
    config = _config(options)
    strategy, clip = strategy_for(config), Input(config.input, config.length)
    clips = clips_of(config, dataset, clip, dataset.part(1, "train"))
    batch = next(iter(clips.batches()))
    real = ChangedClips(clips, steps)
    in_memory = ChangedClips(clips, steps, lambda *_: tf.data.Dataset.from_tensors(batch).repeat())
    bare, alone = Turns("bare step", steps, clock), Turns("input alone", steps, clock)
    stream, size = NETWORKS[options.network][0], NETWORKS[options.network][2]
    shape = 20 if stream == "temporal" else 3, size, config.batch_size, len(dataset.classes)
    peers = [of_torch(options.torch, shape, steps)] if options.torch else []
    loop, loop_real = Epochs("loop", steps, clock, [bare, *peers], batch), Epochs("loop with input", steps, clock)
    # Input is fetched ahead in threads of its own, so it has its turns while nothing else is measured.
    alone.one = iter(clips.batches()).__next__
    for _ in range(rounds + 1):
        alone.take()
    alone.one = lambda: None
    for given, watch in ((in_memory, loop), (real, loop_real)):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            train(learner_of(config, dataset, clip, strategy), given, config, Run(Path(folder)), watch)
    # The first turn builds graphs and finds memory.
    measured = [(turns.name, turns.seconds[1:]) for turns in (bare, alone, *peers)]
    return dict([*measured, *((watch.name, watch.seconds[1:]) for watch in (loop, loop_real))])


def _config(options: argparse.Namespace) -> SpatialConfig | TemporalConfig:
    """Returns the configuration of a network's training."""
    stream, clips, size = NETWORKS[options.network]
    words: dict[str, Any] = {
        "protocol": "paper",
        "epochs": options.rounds + 1,
        "batch_size": clips,
        "deterministic": not options.no_deterministic,
        "checkpoint_minutes": 60.0,
    }
    if options.network != "small":
        backbone = options.network.partition("-")[0]
        words |= {"backbone": backbone, "weights": "none", "crop_size": size, "augment": "corners"}
        words |= {"learning_rate": 1e-4, "optimizer": "sgd"}  # With momentum, as torch_peer.py trains.
    return SpatialConfig(**words) if stream == "spatial" else TemporalConfig(**words)


if __name__ == "__main__":
    run(main)
