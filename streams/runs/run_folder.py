"""Knows the folder of a run: the names of its files, its lock, and whether its training is finished."""

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from commands.files import is_abandoned, locked
from commands.options import as_dictionary
from streams.config import TrainConfig
from streams.tricks import Tricks

Options = TypeVar("Options", bound=TrainConfig)


_HOW_TO_MEND = "Restore it from a copy, pass --again to train anew, or --runs DIR for another place."
_NO_ENTRY = f"{{}} has no usable entry {{!r}}. Another version wrote it, or it was changed by hand. {_HOW_TO_MEND}"
# The videos whose loss selects the best epoch, in words.
CHOSEN_BY = {
    "validation": "validation",
    "paper": "",
    "test-selected": "test list (which chooses)",
    "folds": "held out by folds",
}
# The result of a finished run in words, by the protocol.
_REACHED = {
    "folds": "On the training videos, each held out with its group: loss {val_loss:.3f}, video accuracy "
    "{val_accuracy:.1%}.",
    "paper": "Last epoch {epoch}: training loss {loss:.3f}; no epoch was chosen.",
}
_BEST = "Best epoch {epoch} of {epochs}: {chosen_by} loss {val_loss:.3f}, frame accuracy {val_accuracy:.1%}."
# The entries of a run's configuration that others read, and their types.
_ENTRIES = {"options": dict, "data_hash": str, "threads": int, "versions": dict, "result": dict, "skipped": dict}
# More threads than any machine has. TensorFlow would start them all.
_MOST_THREADS = 4096
# Values for options that older runs don't record.
_BEFORE = {
    "shown": "pixels",
    "stride": 1,
    "consensus": "mean",
    "fuse_at": [],
    "shift": 0.0,
    **as_dictionary(Tricks()),
}


class _Inside:
    """A file or folder inside the folder of a run."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, run: "Run", kind: type) -> Path:
        return run.folder / self._name


@dataclass(frozen=True)
class Run:
    """The folder of one training: `<runs>/<data set>/<stream>/split<N>`."""

    folder: Path
    later: tuple["Run", ...] = ()  # The runs of the later stages, in order. Each starts from the model before it.
    data_hash: str = ""  # Changes with the videos and with their preparation.

    model: ClassVar = _Inside("model.keras")  # The selected weights, with all that is needed to use them.
    config: ClassVar = _Inside("config.json")  # Every option, and all else on which the result depends.
    history: ClassVar = _Inside("history.csv")  # One row per epoch.
    curves: ClassVar = _Inside("curves.png")  # Loss, accuracy and rate over the epochs.
    checkpoints: ClassVar = _Inside("checkpoints")  # From these an unfinished training is continued.
    tensorboard: ClassVar = _Inside("tensorboard")  # Event files: tensorboard --logdir runs.
    # The logits that folds over groups gave to training videos on which they were not trained.
    held_out: ClassVar = _Inside("scores/held-out_folds.h5")

    @classmethod
    def of(cls, runs: Path, data_set: str, stream: str, split: int, data_hash: str = "") -> "Run":
        """Returns the run of a stream on a split."""
        return cls(runs / data_set / stream / f"split{split}", data_hash=data_hash)

    def features(self, part: str) -> Path:
        """Returns the file of features: the outputs of the network's frozen layers for a part of the training list."""
        return self.folder / "features" / f"{part}.h5"

    def scores(self, part: str, protocol: str) -> Path:
        """Returns the file of the model's scores on a part of its split."""
        return self.folder / "scores" / f"{part}_{protocol}.h5"

    @property
    def has_checkpoint(self) -> bool:
        """Tells whether a training can be continued here."""
        return any(self.checkpoints.glob("step*.npz"))

    def described(self) -> dict[str, Any]:
        """Reads the configuration."""
        try:
            found = json.loads(self.config.read_text(encoding="utf-8") if self.config.is_file() else "")
            if isinstance(found, dict):
                return found
            raise ValueError("it does not contain an object")
        except (FileNotFoundError, ValueError) as error:
            what = f"is damaged ({error})" if self.config.exists() else "is missing"
            raise ValueError(f"{self.config} {what}. It records the options of this run. {_HOW_TO_MEND}") from error

    def entry(self, name: str) -> Any:
        """Returns one entry of the configuration."""
        found = self.described().get(name)
        if not isinstance(found, _ENTRIES[name]):
            raise ValueError(_NO_ENTRY.format(self.config, name))
        return found

    @property
    def threads(self) -> int:
        """The number of threads with which the training began."""
        if not 1 <= self.entry("threads") <= _MOST_THREADS:
            raise ValueError(_NO_ENTRY.format(self.config, "threads"))
        return int(self.entry("threads"))

    def forget_checkpoints(self) -> None:
        """Deletes checkpoints that a kill left in a finished run, unless another process works in it."""
        with contextlib.suppress(OSError, RuntimeError):
            if self.checkpoints.exists():
                with self.locked():
                    if "result" in self.described():  # If not, another process has started again meanwhile.
                        self.clear_checkpoints()

    def clear(self, *, with_later: bool = False) -> None:
        """Deletes all files of an earlier training."""
        # The order makes a kill at any moment harmless: later stages are deleted before those from which they started,
        # checkpoints before their options, and the result before its model.
        if with_later:
            self._clear_later()
        self.clear_checkpoints()
        for path in (self.config, self.model, self.history, self.curves):
            path.unlink(missing_ok=True)
        for folder in (self.tensorboard, self.folder / "scores"):
            shutil.rmtree(folder, ignore_errors=True)

    def _clear_later(self) -> None:
        for run in reversed(self.later):
            if run.folder.is_dir():
                with run.locked():
                    run.clear()

    def clear_checkpoints(self) -> None:
        """Deletes the checkpoints: complete ones first, then those that a kill left incomplete."""
        for checkpoint in self.checkpoints.glob("step*"):
            checkpoint.unlink()
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes out of this folder. The lock ends with its process."""
        with contextlib.ExitStack() as stack:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(self.folder))
            except (OSError, RuntimeError) as error:
                raise self._not_locked(error) from error
            for half_written in self.folder.rglob(".incomplete.*"):
                if is_abandoned(half_written):  # Others may belong to an evaluation that writes its scores just now.
                    half_written.unlink(missing_ok=True)
            yield

    def _not_locked(self, error: Exception) -> RuntimeError:
        if isinstance(error, OSError):
            return RuntimeError(
                f"The run folder {self.folder} can't be written ({error.strerror}). Make room, or pass --runs DIR "
                "for a place that you may write to."
            )
        return RuntimeError(
            f"Another process is training in {self.folder}. Wait for it, or pass --runs DIR for another place."
        )


def is_finished(config: TrainConfig, run: Run) -> bool:
    """Tells whether exactly this training is finished. Raises ValueError rather than overwrite another one."""
    if config.again or config.dry_run or not (run.has_checkpoint or run.config.exists()):
        return False
    finished = "result" in run.described() and run.model.exists()
    if finished or run.has_checkpoint:
        _check_same(config, run, "finished" if finished else "unfinished")
    return finished


def stages_of(config: Options, run: Run) -> list[tuple[Options, Run]]:
    """Returns the stages of a training and their folders. Each starts from the best weights of the one before."""
    return _several_stages(config, run) if config.stage else [(config, run)]


def stages_left(config: Options, run: Run) -> list[tuple[Options, Run]]:
    """Returns the stages that are not finished. Deletes the checkpoints of those that are."""
    left = []
    for stage, place in stages_of(config, run):
        if is_finished(stage, place):
            place.forget_checkpoints()
        else:
            left.append((stage, place))
    return left


def _several_stages(config: Options, run: Run) -> list[tuple[Options, Run]]:
    places = [*(replace(run, folder=run.folder / f"stage{number}") for number in range(1, len(config.stage))), run]
    found, weights = [], config.weights
    for number, stage in enumerate(config.stages):
        place = replace(places[number], later=tuple(places[number + 1 :]))
        only = replace(config, train=stage.place, epochs=stage.epochs, steps=None, weights=weights)
        found.append((replace(only, optimizer=stage.optimizer, learning_rate=stage.learning_rate), place))
        weights = str(place.model)
    return found


def _check_same(config: TrainConfig, run: Run, state: str) -> None:
    before = _comparable({**_BEFORE, **run.entry("options")}, run.entry("data_hash"))
    for name, value in _comparable(config.identity(), run.data_hash).items():
        if before.get(name) != value:
            raise ValueError(
                f"The training in {run.folder} ({state}) has {name} = {before.get(name)!r}, not {value!r}. "
                "Pass --again to replace it, or --runs DIR to keep both."
            )
    if state == "unfinished" and not config.resume:
        raise ValueError(
            f"{run.folder} contains an unfinished training of the same options. "
            "Drop --no-resume to go on with it, or pass --again to start anew."
        )


def _comparable(options: dict[str, Any], data_hash: str) -> dict[str, Any]:
    """Returns the options in which two trainings must agree."""
    return {**options, "data_hash": data_hash}


def threads_before(config: TrainConfig, run: Run) -> int | None:
    """Returns the number of threads with which a training began, or None if it is new."""
    # Another number of threads would change the last bits. The first stage that left something records it.
    for _, place in () if config.again else stages_of(config, run):
        if place.config.exists() and (place.model.exists() or place.has_checkpoint):
            return place.threads
    return None


def first_versions(run: Run, now: dict[str, str]) -> dict[str, str]:
    """Returns the versions with which a training began, and warns if the present ones differ."""
    before: dict[str, str] = run.entry("versions")
    changed = [
        f"{name} {before.get(name)}, now {version}" for name, version in now.items() if before.get(name) != version
    ]
    if changed:
        print(f"Warning: this training began with {', '.join(changed)}. The last bits of its result may differ.")
    return before


def say_skipped(skipped: Mapping[str, int]) -> None:
    """Prints the number of clips that a training skipped, and the videos with the most."""
    count, worst = sum(skipped.values()), ", ".join([*skipped][:5])
    print(f"{count} clips of {len(skipped)} videos could not be read and were left out: {worst}.")


def say_result(run: Run) -> dict[str, Any]:
    """Prints the result of a finished run, and returns it."""
    result, selection = run.entry("result"), run.entry("options").get("protocol", "validation")
    try:
        sentence = _REACHED.get(selection, _BEST).format(**result, chosen_by=CHOSEN_BY[selection])
    except (KeyError, TypeError, ValueError):
        raise ValueError(_NO_ENTRY.format(run.config, "result")) from None
    print(f"{sentence} Saved {run.model}")
    skipped = run.entry("skipped") if "skipped" in run.described() else {}
    return {"model": str(run.model), "selection": selection, **result, "skipped": skipped}
