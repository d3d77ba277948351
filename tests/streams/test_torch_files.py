"""PyTorch files are read in all forms without PyTorch, and other files are refused with one message."""

import os
import pickle
import random
import resource
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.robustness.mutations import changed_bytes
from streams.weights.names import origin_among, places
from streams.weights.torch_file import read_tensors
from tests.makers.torch.files import FORMS, write_safetensors, write_torch

ARRAYS = {
    "conv1.weight": np.random.default_rng(0).normal(size=(4, 3, 2, 2)).astype(np.float32),
    "bn1.running_var": np.arange(5, dtype=np.float64),
    "bn1.num_batches_tracked": np.array([7], np.int64),
    "fc.bias": np.array([0.5, -2, 65504], np.float16),
}


class _Harmful:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.trace}",)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_tensors_that_were_saved(form: str, tmp_path: Path) -> None:
    found = read_tensors(write_torch(tmp_path / "a.pth", ARRAYS, form))

    assert found.keys() == ARRAYS.keys()
    for name, tensor in found.items():
        np.testing.assert_array_equal(tensor.read(), ARRAYS[name].astype(np.float32))


@pytest.mark.parametrize("form", ["zip", "rows"])
def test_a_checkpoint_gives_its_weights_and_not_what_lies_beside_them(form: str, tmp_path: Path) -> None:
    beside = {"epoch": 80, "best_prec1": np.array([85.7]), "optimizer": {"state": {0: {"momentum": np.ones(3)}}}}

    found = read_tensors(write_torch(tmp_path / "a.pth.tar", {**beside, "state_dict": ARRAYS}, form))

    assert found.keys() == ARRAYS.keys()


def test_a_transposed_tensor_is_read_along_its_strides(tmp_path: Path) -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)

    found = read_tensors(write_torch(tmp_path / "a.pt", {"weight": array.T}))

    np.testing.assert_array_equal(found["weight"].read(), array.T)


def test_safetensors_are_read(tmp_path: Path) -> None:
    arrays = {"conv1.weight": ARRAYS["conv1.weight"], "none": np.zeros((0, 3), np.float32)}

    found = read_tensors(write_safetensors(tmp_path / "a.safetensors", arrays))

    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name].read(), array)


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_runs_something_is_refused_and_nothing_runs(form: str, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    write_torch(tmp_path / "a.pth", {**ARRAYS, "more": _Harmful(trace)}, form)

    with pytest.raises(ValueError, match=r"a\.pth can't be read as weights: it calls \w+\.system"):
        read_tensors(tmp_path / "a.pth")

    assert not trace.exists()


def test_tensors_outside_of_what_is_stored_are_refused(tmp_path: Path) -> None:
    header = b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}'
    (tmp_path / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))

    with pytest.raises(ValueError, match="exceeds the"):
        read_tensors(tmp_path / "a.safetensors")

    write_torch(tmp_path / "a.pth", {"w": np.zeros(3, np.float32)})
    with zipfile.ZipFile(tmp_path / "a.pth") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        for name, content in members.items():
            # The shape of three numbers becomes one of 255.
            archive.writestr(name, content.replace(b"K\x03\x85", b"K\xff\x85") if name.endswith("pkl") else content)
    with pytest.raises(ValueError, match=r"shape \(255,\) exceeds the 3 numbers"):
        read_tensors(tmp_path / "a.pth")


def test_packed_members_are_refused_before_they_fill_memory(tmp_path: Path) -> None:
    write_torch(tmp_path / "a.pth", {"w": np.zeros(1_000_000, np.float32)})
    with zipfile.ZipFile(tmp_path / "a.pth") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)

    with pytest.raises(ValueError, match="is compressed"):
        read_tensors(tmp_path / "a.pth")


def test_other_files_are_refused_by_what_is_wrong(tmp_path: Path) -> None:
    for content, said in (
        (b"nothing of use", "can't be read as weights"),
        (pickle.dumps({"a": 1}), "does not begin like a PyTorch file"),
        (b"", "can't be read as weights"),
    ):
        (tmp_path / "a.pth").write_bytes(content)
        with pytest.raises(ValueError, match=said):
            read_tensors(tmp_path / "a.pth")
    with pytest.raises(ValueError, match="it has no named tensors"):
        read_tensors(write_torch(tmp_path / "b.pth", {"epoch": 3}))


@pytest.mark.parametrize("form", [*FORMS, "safetensors"])
def test_no_damaged_file_does_anything_but_be_read_or_refused(form: str, tmp_path: Path) -> None:
    path = tmp_path / ("a.safetensors" if form == "safetensors" else "a.pth")
    floats = {name: array.astype(np.float32) for name, array in ARRAYS.items()}
    write_safetensors(path, floats) if form == "safetensors" else write_torch(path, {"state_dict": ARRAYS}, form)
    sound, begun, memory = path.read_bytes(), time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    refused = 0
    for seed in range(400):
        path.write_bytes(changed_bytes(sound, random.Random(seed)))
        try:
            for tensor in read_tensors(path).values():
                tensor.read()
        except ValueError as error:
            refused += 1
            assert str(error).startswith(str(path))

    assert refused > 40
    assert time.process_time() - begun < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 300_000  # Kilobytes.


def test_a_name_without_a_place_is_refused_by_itself() -> None:
    with pytest.raises(ValueError, match=r"it has layer5\.0\.conv1\.weight, for which resnet18 has no place"):
        places("resnet18", ["conv1.weight", "layer5.0.conv1.weight", "layer6.0.conv1.weight"])
    with pytest.raises(ValueError, match=r"can only be read for --backbone resnet18, .*bn_inception"):
        places("inception_v3", ["Conv2d_1a_3x3.conv.weight"])


def test_names_of_wrappers_and_shifts_are_left_out() -> None:
    names = ["module.base_model.layer1.0.conv1.net.weight", "module.new_fc.bias", "module.base_model.bn1.weight"]

    found = places("resnet50", names)

    assert found == {
        "conv2_block1_1": {"weight": names[0]},
        "logits": {"bias": names[1]},
        "conv1_bn": {"weight": names[2]},
    }


def test_the_origin_of_weights_shows_in_their_names_and_shapes() -> None:
    assert origin_among({"conv1.weight": (64, 3, 7, 7)}) == "torch"
    assert origin_among({"module.base_model.conv1.weight": (64, 10, 7, 7)}) == "torch-flow"
    assert origin_among({"conv1_7x7_s2.bias": (64,), "conv1_7x7_s2.weight": (64, 3, 7, 7)}) == "tsn"
    assert origin_among({"conv1_7x7_s2.weight": (64, 10, 7, 7)}) == "tsn-flow"
    assert origin_among({"conv1_custom.weight": (64, 20, 7, 7)}) == "unit-flow"
    assert origin_among({"conv1_custom.weight": (64, 3, 7, 7)}) == "torch"
