"""The kinds of input of benchmarks/robustness/changed_files.py that networks are read from; they need TensorFlow."""

import json
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.robustness.inputs import Kind
from benchmarks.robustness.mutations import changed_bytes, changed_json
from commands.running import quiet_tensorflow
from fusion import predict
from fusion.methods.kept import AVERAGE
from fusion.prediction.exported_texts import FUSION_FILE, texts_of
from streams.runs.model_file import load_model, read_card
from tests.makers.models import make_model, make_video


def kinds_of_networks(seeds: Path) -> dict[str, Kind]:
    """Returns the kinds; the networks that are changed are made in `seeds` first."""
    quiet_tensorflow()
    if not (seeds / "networks" / "whole").exists():
        _in_a_process(lambda: _make_networks(seeds / "networks"))
    models = seeds / "networks"

    def model(change: Callable[[dict[str, bytes], random.Random], None]) -> Callable[[Path, random.Random], None]:
        def make(folder: Path, chance: random.Random) -> None:
            with zipfile.ZipFile(models / "spatial.keras") as archive:
                members = {name: archive.read(name) for name in archive.namelist()}
            change(members, chance)
            with zipfile.ZipFile(folder / "input.keras", "w") as archive:
                for name, content in members.items():
                    archive.writestr(name, content)

        return make

    def whole(folder: Path, chance: random.Random) -> None:
        (folder / "input.keras").write_bytes(changed_bytes((models / "spatial.keras").read_bytes(), chance))

    def json_in(name: str) -> Callable[[dict[str, bytes], random.Random], None]:
        def change(members: dict[str, bytes], chance: random.Random) -> None:
            members[name] = changed_json(members[name].decode(), chance).encode("utf-8", "surrogatepass")

        return change

    def weights(members: dict[str, bytes], chance: random.Random) -> None:
        members["model.weights.h5"] = changed_bytes(members["model.weights.h5"], chance)

    def opens(folder: Path) -> None:
        network, card = load_model(folder / "input.keras")
        print(network.output_shape, card.classes)

    def predicts(folder: Path) -> None:
        predict.main([str(folder / "clip.avi"), "--spatial", str(folder / "input.keras"), "--views", "1", "--crops=1"])

    def with_video(make: Callable[[Path, random.Random], None]) -> Callable[[Path, random.Random], None]:
        def made(folder: Path, chance: random.Random) -> None:
            shutil.copy(models / "clip.avi", folder / "clip.avi")
            make(folder, chance)

        return made

    def checkpoint(folder: Path, chance: random.Random) -> None:
        (folder / "step.npz").write_bytes(changed_bytes((models / "step.npz").read_bytes(), chance))

    return {
        "bytes of a model": Kind(whole, opens, True),
        "two_stream.json of a model": Kind(with_video(model(json_in("two_stream.json"))), predicts, True),
        "config.json of a model": Kind(model(json_in("config.json")), opens, True),
        "weights of a model": Kind(model(weights), opens, True),
        "checkpoints": Kind(checkpoint, _read_checkpoint, True),
    }


def _read_checkpoint(folder: Path) -> None:
    from streams.training.progress import DamagedError, _read_checkpoint

    try:
        print(_read_checkpoint(folder / "step.npz")[1])
    except DamagedError as error:  # A training then goes on from the one before.
        raise ValueError(str(error)) from None


def _make_networks(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    make_model(folder / "spatial.keras", "spatial")
    make_model(folder / "temporal.keras", "temporal")
    make_video(folder / "clip.avi", 6)
    state = json.dumps({"step": 3, "history": [{"loss": 1.0}], "skipped": [["a", 1, 2]]})
    arrays: dict[str, np.ndarray] = {"00000": np.zeros((3, 4), np.float32), "state": np.array(state)}
    np.savez(folder / "step.npz", **arrays)  # type: ignore[arg-type]
    cards = {name: read_card(folder / f"{name}.keras") for name in ("spatial", "temporal")}
    (folder / FUSION_FILE).write_text(texts_of(cards, AVERAGE)[FUSION_FILE])
    (folder / "whole").touch()


def _in_a_process(act: Callable[[], None]) -> None:
    """Calls a function in a fork: once this process has used TensorFlow, its own forks could hang."""
    import os
    import traceback

    process = os.fork()
    if process == 0:
        try:
            act()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    if os.waitpid(process, 0)[1]:
        raise RuntimeError("The networks to change could not be made.")
