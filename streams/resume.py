"""Checkpoints: all that a training needs to go on bit for bit, written so that a kill at any moment loses nothing."""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from commands.running import replacing
from streams.schedules import best_epoch

# The newest may be damaged by the disk; the one before it then still stands.
_KEPT = 2
_STATE = "state"


@dataclass
class Progress:
    """How far a training is: what is not in a variable. All choices follow from the history."""

    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)  # One row an epoch.


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
        state = json.dumps({"step": progress.step, "history": progress.history})
        name = f"step{progress.step:09d}_{self._best(progress).name}"
        _write(self.folder / name, {**arrays, _STATE: np.array(state)})
        for old in self._steps()[:-_KEPT]:
            old.unlink()
        needed = {path.name.split("_", 1)[1] for path in self._steps()}
        for best in self.folder.glob("best*.npz"):
            if best.name not in needed:
                best.unlink()

    def save_best(self, model: keras.Model, progress: Progress) -> None:
        """Writes the weights of the epoch that just ended."""
        arrays = _arrays(model.variables)
        if self.writes:
            _write(self._best(progress), arrays)

    def restore(self, model: keras.Model) -> Progress:
        """Sets the model to the newest checkpoint that can be read, and returns how far it is."""
        for path in reversed(self._steps()):
            try:
                arrays = _read(path)
                state = json.loads(str(arrays.pop(_STATE)))
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                print(f"{path} is damaged ({error}); going on from the one before it.", flush=True)
                continue
            _assign(_variables(model), arrays, path)
            return Progress(**state)
        return Progress()

    def restore_best(self, model: keras.Model, progress: Progress) -> None:
        """Sets the model to the weights of the best epoch."""
        path = self._best(progress)
        _assign(model.variables, _read(path), path)

    def exist(self) -> bool:
        """Tells whether there is one to go on from."""
        return bool(self._steps())

    def clear(self) -> None:
        """Deletes all of them, and what a kill left half written."""
        for pattern in ("*.npz", ".incomplete.*"):
            for path in self.folder.glob(pattern):
                path.unlink()
        if self.folder.is_dir():
            self.folder.rmdir()

    def _best(self, progress: Progress) -> Path:
        return self.folder / f"best{best_epoch(progress.history):05d}.npz"

    def _steps(self) -> list[Path]:
        return sorted(self.folder.glob("step*.npz"))


def _variables(model: keras.Model) -> list[keras.Variable]:
    """Returns weights and random states, the optimizer's, and the sums behind the numbers of the epoch so far."""
    found = [*model.variables, *model.optimizer.variables]
    for metric in model.metrics:
        found.extend(metric.variables)
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


def _write(path: Path, arrays: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)
    except OSError as error:
        raise RuntimeError(
            f"The checkpoint {path} could not be written ({error.strerror or error}); those before it are whole. "
            "Make room, then run the same command again: it goes on from the last one."
        ) from error


def _read(path: Path) -> dict[str, np.ndarray]:
    """Reads every array of a file; each carries a checksum, so that a damaged one is noticed."""
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}
