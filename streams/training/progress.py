"""Where a training stands, and checkpoints of it, written so that a kill at any moment loses nothing."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np

from commands.files import replacing
from pipelines.drawing import Skipped
from streams.config import TrainConfig
from streams.runs.run_folder import Run
from streams.training.devices import Together
from streams.training.schedules import Rate, best_epoch, should_stop

# The newest may be damaged by the disk; the one before it then still stands.
_KEPT = 2
_STATE = "state"
# The best weights are in no second checkpoint, so they are written twice.
_COPY = ".copy"


class DamagedError(Exception):
    """A checkpoint that can't be read whole."""


@dataclass
class Progress:
    """How far a training is: what is not in a variable. All choices follow from the history."""

    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)  # One row an epoch.
    skipped: Skipped = field(default_factory=set)  # Clips that could not be read and were left out.


class Checkpoints:
    """The checkpoints of one run and the weights of its best epoch so far."""

    def __init__(self, folder: Path, *, writes: bool = True):
        self.folder = folder
        self.writes = writes  # Of several machines only the first one does.

    def save(self, model: keras.Model, progress: Progress) -> None:
        """Writes a checkpoint, and forgets all but the newest ones and the best weights."""
        # With several machines, reading a variable is done by all of them together.
        arrays = _arrays(_variables(model))
        if not self.writes:
            return
        state = json.dumps({**vars(progress), "skipped": sorted(progress.skipped)})
        name = f"step{progress.step:09d}_{self._best(progress).name}"
        _write(self.folder / name, {**arrays, _STATE: np.array(state)})
        for old in self._steps()[:-_KEPT]:
            old.unlink()
        needed = {path.name.split("_", 1)[1] for path in self._steps()}
        for best in self.folder.glob("best*.npz"):
            if best.name.replace(_COPY, "") not in needed:
                best.unlink()

    def save_best(self, model: keras.Model, progress: Progress) -> None:
        """Writes the weights of the epoch that just ended."""
        arrays = _arrays(model.variables)
        if self.writes:
            for path in self._best_copies(progress):
                _write(path, arrays)

    def restore(self, model: keras.Model, check: Callable[[int], None] = lambda step: None) -> Progress:
        """Sets the model to the newest checkpoint that can be read, and returns how far it is.

        `check(step)` may refuse it first: once machines set their variables, they do it all together.
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
                f"No checkpoint can be gone on from: {'; '.join(damaged)}. Put whole ones there if you have copies, or "
                "pass --again: all that was trained is then done anew."
            )
        check(0)
        return Progress()

    def restore_best(self, model: keras.Model, progress: Progress) -> None:
        """Sets the model to the weights of the best epoch."""
        try:
            arrays = self._read_best(progress)
        except DamagedError as error:
            raise ValueError(f"The best weights are lost: {error}. Pass --again to train anew.") from error
        _assign(model.variables, arrays, self._best(progress))

    def _best(self, progress: Progress) -> Path:
        return self.folder / f"best{best_epoch(progress.history):05d}.npz"

    def _best_copies(self, progress: Progress) -> tuple[Path, Path]:
        path = self._best(progress)
        return path, path.with_stem(path.stem + _COPY)

    def _read_best(self, progress: Progress) -> dict[str, np.ndarray]:
        first, second = self._best_copies(progress)
        try:
            return _read(first)
        except DamagedError as error:
            print(f"{error}; its copy is used.", flush=True)
            return _read(second)

    def _steps(self) -> list[Path]:
        return sorted(self.folder.glob("step*.npz"))


@dataclass
class Course:
    """Where a training stands: its options and its place, how far it is, and what of it is saved."""

    config: TrainConfig
    run: Run
    steps_per_epoch: int
    rate: Rate
    progress: Progress = field(default_factory=Progress)
    saved_step: int = 0  # The last step that was saved.
    finite_step: int = 0  # The last step whose loss was looked at.
    validating: bool = False

    @classmethod
    def of(cls, config: TrainConfig, run: Run, steps_per_epoch: int) -> "Course":
        """Returns the course of a training at its start."""
        epochs, steps = config.extent(steps_per_epoch)
        return cls(config, run, steps, Rate(config, steps, config.steps or epochs * steps))

    @property
    def epochs(self) -> int:
        """How many epochs the training has."""
        return self.config.extent(self.steps_per_epoch)[0]

    @property
    def epoch(self) -> int:
        """How many epochs are through, validation included."""
        return len(self.progress.history)

    @property
    def step_of_epoch(self) -> int:
        """How many steps of the present epoch are done."""
        return self.progress.step - self.epoch * self.steps_per_epoch

    @property
    def is_within_validation(self) -> bool:
        """Tells whether all steps of the present epoch are done, and its validation is not."""
        return self.step_of_epoch == self.steps_per_epoch

    @property
    def is_done(self) -> bool:
        """Tells whether all epochs are through, or as many as were of use."""
        return self.epoch >= self.epochs or should_stop(self.progress.history, self.config.patience)

    def start(self, checkpoints: Checkpoints, together: Together, model: keras.Model, skipped: Skipped | None) -> None:
        """Sets the model to where an earlier training left off, and what was skipped to what it had skipped."""
        if self.config.resume and not self.config.again and checkpoints.folder.exists():
            self.progress = checkpoints.restore(model, together.check_step)
        else:
            together.check_step(0)
        if skipped is not None:
            skipped |= self.progress.skipped
            self.progress.skipped = skipped
        self.saved_step = self.finite_step = self.progress.step


def sums_of(model: keras.Model) -> list[keras.Variable]:
    """Returns the sums behind the numbers of the epoch so far."""
    return [variable for metric in model.metrics for variable in metric.variables]


def _variables(model: keras.Model) -> list[keras.Variable]:
    """Returns weights and random states, the optimizer's, and the sums behind the numbers of the epoch so far."""
    found = [*model.variables, *model.optimizer.variables, *sums_of(model)]
    return list({id(variable): variable for variable in found}.values())


def _arrays(variables: Sequence[keras.Variable]) -> dict[str, np.ndarray]:
    return {f"{number:05d}": np.asarray(variable) for number, variable in enumerate(variables)}


def _assign(variables: Sequence[keras.Variable], arrays: dict[str, np.ndarray], path: Path) -> None:
    found = [array.shape for array in arrays.values()]
    wanted = [tuple(variable.shape) for variable in variables]
    if found != wanted:
        first = next(
            (pair for pair in zip(found, wanted, strict=False) if pair[0] != pair[1]), (len(found), len(wanted))
        )
        raise ValueError(
            f"{path} is of another network: it has {first[0]} where this one has {first[1]}. "
            "Train with the options that the run was started with, or pass --again to start anew."
        )
    for variable, array in zip(variables, arrays.values(), strict=True):
        variable.assign(array)


def _write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **dict(arrays))  # type: ignore[arg-type]
    except OSError as error:
        raise RuntimeError(
            f"The checkpoint {path} could not be written ({error.strerror or error}); those before it are whole. "
            "Make room, then run the same command again, but without --again: it goes on from the last one."
        ) from error


def _read(path: Path) -> dict[str, np.ndarray]:
    """Reads every array of a file; each carries a checksum, so that a damaged one is noticed."""
    try:
        with np.load(path) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except Exception as error:  # A damaged header lets NumPy and zipfile raise nearly anything.
        raise DamagedError(f"{path} is damaged ({error})") from error


def _read_checkpoint(path: Path) -> tuple[dict[str, np.ndarray], Progress]:
    arrays = _read(path)
    try:
        state = json.loads(str(arrays.pop(_STATE)))
        skipped = {(video, step, place) for video, step, place in state.pop("skipped", ())}
        return arrays, Progress(**state, skipped=skipped)
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedError(f"{path} is damaged ({error})") from error
