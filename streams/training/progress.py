"""Keeps the progress of a training, and its checkpoints, which survive a kill at any moment."""

import itertools
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np

from commands.files import replacing
from pipelines.skipping import Skipped
from streams.config import TrainConfig
from streams.runs.run_folder import Run
from streams.training.devices import Alone
from streams.training.schedules import Rate, best_epoch

# If the disk damages the newest checkpoint, the one before it remains.
_KEPT = 2
_STATE = "state"
_NOT_WRITTEN = (
    "The checkpoint {} could not be written ({}). The earlier ones are intact. Make room, then run the same command "
    "again, but without --again: it goes on from the last one."
)


class DamagedError(Exception):
    """A checkpoint that can't be read completely."""


@dataclass
class Progress:
    """The progress of a training that is not in variables. All decisions follow from the history."""

    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)  # One row per epoch.
    skipped: Skipped = field(default_factory=set)  # Clips that could not be read and were skipped.
    seconds: float = 0.0  # The working time, without interruptions.


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run and the weights of its best epoch so far."""

    folder: Path
    writes: bool = True  # On several machines, only the first one writes.

    def save(self, model: keras.Model, progress: Progress, *, is_best: bool = False) -> None:
        """Writes a checkpoint, and the best weights to a separate file. Deletes what is no longer needed."""
        # Several machines read a variable together, so all of them call this.
        weights, arrays = _arrays(model.variables if is_best else []), _arrays(_variables(model))
        if not self.writes:
            return
        for path in self._best(progress) if is_best else ():
            _write(path, weights)
        state = json.dumps({**vars(progress), "skipped": sorted(progress.skipped)})
        name = f"step{progress.step:09d}_{self._best(progress)[0].name}"
        _write(self.folder / name, {**arrays, _STATE: np.array(state)})
        for old in self._steps()[:-_KEPT]:
            old.unlink()
        needed = {path.stem.partition("_")[2] for path in self._steps()}
        for best in self.folder.glob("best*.npz"):
            if best.name.partition(".")[0] not in needed:
                best.unlink()

    def restore(self, model: keras.Model, check: Callable[[int], None] = lambda step: None) -> Progress:
        """Sets the model to the newest checkpoint that can be read, and returns its progress.

        `check(step)` may raise an error first, because several machines set their variables together.
        """
        damaged = []
        for path in reversed(self._steps()):
            try:
                arrays, progress = _read_checkpoint(path)
                if "val_loss" in (progress.history or [{}])[-1]:
                    self._read_best(progress)
            except DamagedError as error:
                damaged.append(str(error))
                continue
            for each in damaged:
                print(f"{each}; going on from step {progress.step}, of the one before it.", flush=True)
            check(progress.step)
            _assign(_variables(model), arrays, path)
            return progress
        if damaged:
            raise ValueError(
                f"No checkpoint can be read: {'; '.join(damaged)}. Restore them if you have copies, or pass "
                "--again to train anew from the first step."
            )
        check(0)
        return Progress()

    def restore_best(self, model: keras.Model, progress: Progress) -> None:
        """Sets the model to the weights of the best epoch."""
        try:
            arrays = self._read_best(progress)
        except DamagedError as error:
            raise ValueError(f"The best weights are lost: {error}. Pass --again to train anew.") from error
        _assign(model.variables, arrays, self._best(progress)[0])

    def _best(self, progress: Progress) -> tuple[Path, Path]:
        """Returns the file of the best weights and its copy. No older checkpoint has them, so they are stored twice."""
        name = f"best{best_epoch(progress.history):05d}"
        return self.folder / f"{name}.npz", self.folder / f"{name}.copy.npz"

    def _read_best(self, progress: Progress) -> dict[str, np.ndarray]:
        path, copy = self._best(progress)
        try:
            return _read(path)
        except DamagedError as error:
            print(f"{error}; its copy is used.", flush=True)
            return _read(copy)

    def _steps(self) -> list[Path]:
        return sorted(self.folder.glob("step*.npz"))


@dataclass
class Course:
    """The state of a training: its options, folder and machine, its progress, and what was saved."""

    config: TrainConfig
    run: Run
    together: Alone
    epochs: int
    steps_per_epoch: int
    rate: Rate
    checkpoints: Checkpoints
    progress: Progress = field(default_factory=Progress)
    saved_step: int = 0  # The last saved step.
    began: float = 0.0  # The time when it would have begun without interruptions.
    finite_step: int = 0  # The last step whose loss was checked, if XLA compiles the steps.

    @classmethod
    def of(cls, config: TrainConfig, run: Run, steps_per_epoch: int, together: Alone) -> "Course":
        """Returns the course of a training at its start."""
        epochs, steps = config.extent(steps_per_epoch)
        rate = Rate(config, steps, config.steps or epochs * steps)
        return cls(config, run, together, epochs, steps, rate, Checkpoints(run.checkpoints, together.is_chief))

    @property
    def epoch(self) -> int:
        """The number of finished epochs, including their validation."""
        return len(self.progress.history)

    @property
    def step_of_epoch(self) -> int:
        """The number of finished steps of the present epoch; all of them during its validation."""
        return self.progress.step - self.epoch * self.steps_per_epoch

    @property
    def is_done(self) -> bool:
        """Tells whether all epochs are finished, or the last `--patience` epochs brought no improvement."""
        waited = self.epoch - best_epoch(self.progress.history)
        return self.epoch >= self.epochs or waited >= (self.config.patience or math.inf)

    def start(self, model: keras.Model, skipped: Skipped | None) -> None:
        """Continues where an earlier training stopped. `skipped` then includes the clips that it skipped."""
        if self.config.resume and not self.config.again and self.checkpoints.folder.exists():
            self._restore(model)
        else:
            self.together.check_step(0)
        if skipped is not None:
            skipped |= self.progress.skipped
            self.progress.skipped = skipped
        self.saved_step = self.finite_step = self.progress.step
        self.began = time.monotonic() - self.progress.seconds

    def _restore(self, model: keras.Model) -> None:
        self.progress = self.checkpoints.restore(model, self.together.check_step)
        if self.progress.step:
            print(f"Going on from step {self.progress.step:,} of {self.rate.total_steps:,}.", flush=True)


def _variables(model: keras.Model) -> list[keras.Variable]:
    """Returns the weights, the random states, the optimizer's variables, and the sums for the metrics of the epoch."""
    sums = [variable for metric in model.metrics for variable in metric.variables]
    return list({id(each): each for each in [*model.variables, *model.optimizer.variables, *sums]}.values())


def _arrays(variables: Sequence[keras.Variable]) -> dict[str, np.ndarray]:
    return {f"{number:05d}": np.asarray(variable) for number, variable in enumerate(variables)}


def _assign(variables: Sequence[keras.Variable], arrays: dict[str, np.ndarray], path: Path) -> None:
    found, wanted = [array.shape for array in arrays.values()], [tuple(variable.shape) for variable in variables]
    if found != wanted:
        raise ValueError(_of_another_network(path, found, wanted))
    for variable, array in zip(variables, arrays.values(), strict=True):
        variable.assign(array)


def _of_another_network(path: Path, found: Sequence[tuple[int, ...]], wanted: Sequence[tuple[int, ...]]) -> str:
    pairs = itertools.zip_longest(found, wanted, fillvalue="nothing")
    one, other = next(pair for pair in pairs if pair[0] != pair[1])
    return (
        f"{path} belongs to another network: it has {one} where this one has {other}. "
        "Train with the options with which the run was started, or pass --again to start anew."
    )


def _write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **dict(arrays))  # type: ignore[arg-type]
    except OSError as error:
        raise RuntimeError(_NOT_WRITTEN.format(path, error.strerror or error)) from error


def _read(path: Path) -> dict[str, np.ndarray]:
    """Reads all arrays of a file. Each has a checksum, which shows damage."""
    try:
        with np.load(path) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except Exception as error:  # For a damaged header, NumPy and zipfile may raise almost any exception.
        raise DamagedError(f"{path} is damaged ({error})") from error


def _read_checkpoint(path: Path) -> tuple[dict[str, np.ndarray], Progress]:
    arrays = _read(path)
    try:
        state = json.loads(str(arrays.pop(_STATE)))
        skipped = {(video, step, place) for video, step, place in state.pop("skipped", ())}
        return arrays, Progress(**state, skipped=skipped)
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedError(f"{path} is damaged ({error})") from error
