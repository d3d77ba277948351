"""Tests that the engine `auto` tries the GPU in a separate process, which may be killed."""

import pytest

from data.flow import flow_between, flow_engine
from data.optical_flow import trial
from tests.makers.moving_pictures import shifted_pair

# What TensorFlow does in the process that tries a GPU, and what is said of it.
ENDINGS = {
    "aborts": ("import os; os.write(2, b'no kernel image is available\\n'); os.abort()", "SIGABRT: no kernel image is"),
    "fails": ("raise RuntimeError('CUDA_ERROR_NO_DEVICE')", "RuntimeError: CUDA_ERROR_NO_DEVICE"),
    "hangs": ("import time; time.sleep(60)", "takes more than 1 s"),
}


@pytest.fixture
def with_device(tmp_path, monkeypatch):
    """A machine with the device file of a driver, where importing TensorFlow runs the given code."""

    def make(source):
        (tmp_path / "tensorflow.py").write_text(source)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setattr(trial, "DEVICES", (str(tmp_path),))
        trial.trouble_of_gpu.cache_clear()

    yield make
    trial.trouble_of_gpu.cache_clear()


@pytest.mark.parametrize("ending", ENDINGS)
def test_where_a_gpu_fails_the_processor_computes_and_it_is_said(ending, with_device, monkeypatch, capsys):
    source, reason = ENDINGS[ending]
    with_device(source)
    monkeypatch.setattr(trial, "PATIENCE", 1.0 if ending == "hangs" else 60.0)
    first, second = shifted_pair(3, -2)

    engine = flow_engine("auto", preset="fast")

    assert engine.name == "cpu"
    assert f"The GPU can't compute flow: {'the process is ended by ' if ending == 'aborts' else ''}" in (
        said := capsys.readouterr().out
    )
    assert reason in said
    flow = engine.flow_of_batch([first], [second])[0]
    assert (flow == flow_between(first, second, preset="fast")).all()


def test_a_gpu_that_works_is_taken(with_device):
    with_device(
        "class config: list_physical_devices = staticmethod(lambda kind: ['GPU:0'])\n"
        "import sys, types, numpy as np\n"
        "engine = types.ModuleType('data.optical_flow.engine')\n"
        "engine.xla_engine = lambda preset, batch: types.SimpleNamespace(\n"
        "    flow_of_batch=lambda first, second: np.zeros((1, 64, 64, 2)))\n"
        "sys.modules['data.optical_flow.engine'] = engine\n"
    )

    assert trial.trouble_of_gpu() is None


def test_where_no_driver_is_nothing_is_tried(monkeypatch, capsys):
    monkeypatch.setattr(trial, "DEVICES", ())
    trial.trouble_of_gpu.cache_clear()

    engine = flow_engine("auto", preset="fast")

    assert (engine.name, capsys.readouterr().out) == ("cpu", "")
    trial.trouble_of_gpu.cache_clear()


def test_other_methods_never_wait_for_a_gpu(with_device):
    with_device("import time; time.sleep(60)")

    assert flow_engine("auto", "dis").name == "cpu"
