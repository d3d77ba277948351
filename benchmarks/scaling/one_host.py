"""Trains as one of several machines, for real.py: batches of several sizes, and the processor seconds of their steps.

python benchmarks/scaling/one_host.py ROOT FOLDER --hosts 127.0.0.1:4001,127.0.0.1:4002 --host-index 0
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from commands import packages

    packages.check()  # Before the first import that may fail.

from commands.files import scratch_folder, write_json
from commands.running import quiet_tensorflow, run
from data.ready import ready_dataset
from streams.runs.run_folder import Run
from temporal.train import TemporalConfig

# The clips that each machine takes in a step, in turn, and the steps of each training.
PARTS, STEPS = (4, 8, 6), 18
CROP_SIZE, BACKBONE = 160, "mobilenet"


def main(argv: Sequence[str] | None = None) -> None:
    """Writes the processor seconds of the steps of each training, by the clips of this machine in a step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="a prepared data set")
    parser.add_argument("folder", type=Path, help="gets steps.json, and the run of the last training")
    parser.add_argument("--hosts", default="", help="all machines, as for training")
    parser.add_argument("--host-index", type=int, default=0)
    options = parser.parse_args(argv)
    given = {"hosts": options.hosts, "host_index": options.host_index, "root": options.root}
    of_machines = TemporalConfig(dataset="mine", protocol="paper", backbone=BACKBONE, weights="none", **given)
    config = dataclasses.replace(of_machines, crop_size=CROP_SIZE, epochs=1)
    found = _seconds_of_steps(config, len(options.hosts.split(",")), options.folder / "run")
    write_json(options.folder / "steps.json", found)


def _seconds_of_steps(config: TemporalConfig, machines: int, folder: Path) -> dict[str, list[float]]:
    dataset = ready_dataset(config.dataset, config.root)
    quiet_tensorflow()
    import keras

    from pipelines.inputs import Input
    from streams.runs.model_file import card_of
    from streams.training.fit import Learner, building, train
    from streams.training.stage import clips_of, strategy_for
    from temporal.model import temporal_network

    class Clock(keras.callbacks.Callback):
        def on_train_begin(self, logs: object = None) -> None:
            self.ended: list[float] = []

        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            self.ended.append(time.process_time())

    strategy, clip, found = strategy_for(config), Input(config.input, config.length), {}
    videos = list(dataset.videos.values())
    with scratch_folder() as scratch:
        for part in PARTS:
            stage, clock = dataclasses.replace(config, batch_size=part * machines), Clock()
            listed = [videos[place % len(videos)] for place in range(STEPS * stage.batch_size)]
            with building(stage, strategy):
                network = temporal_network(stage, clip, dataset, subtract_mean=True)
            learner = Learner(network, card_of("temporal", stage, dataset, clip))
            place = Run(folder if part == PARTS[-1] else scratch / str(part), data_hash="made")
            train(learner, clips_of(stage, dataset, clip, listed), stage, place, clock)
            found[str(part)] = [after - before for before, after in zip(clock.ended, clock.ended[1:], strict=False)]
    return found


if __name__ == "__main__":
    run(main)
