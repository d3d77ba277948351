"""Tries in a separate process whether this machine's GPU can compute flow: on some cards XLA kills the process."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

from commands.files import project_on_path
from commands.waiting import Now

# The device files of the drivers of NVIDIA, AMD and the Windows Subsystem for Linux.
DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
# The trial may take this many seconds, to import TensorFlow and to compile for one small pair of frames.
PATIENCE = 300.0
_WORKS, _NONE = "A GPU has computed flow.", "TensorFlow finds no GPU."
# The trial runs the whole solver, since a card may fail at any of its kernels.
_TRIAL = f"""
import tensorflow as tf
if tf.config.list_physical_devices("GPU"):
    import numpy as np
    from data.optical_flow.engine import xla_engine
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 64), np.uint8)
    flow = xla_engine("fast", 1).flow_of_batch(frames[:1], frames[1:])
    print({_WORKS!r} if np.isfinite(flow).all() else "Its flow holds values that are not numbers.")
else:
    print({_NONE!r})
"""


def may_have_gpu() -> bool:
    """Tells whether there may be a GPU: a driver has a device file. Otherwise TensorFlow need not be imported."""
    return any(Path(device).exists() for device in DEVICES) and importlib.util.find_spec("tensorflow") is not None


@cache
def trouble_of_gpu() -> str | None:
    """Returns why no GPU computes flow here: "" if there is no GPU, the reason if it fails, None if it works."""
    if not may_have_gpu():
        return ""
    Now.doing = "Trying in a separate process whether the GPU can compute flow"
    try:
        done = subprocess.run(
            [sys.executable, "-c", _TRIAL], env=project_on_path(), capture_output=True, text=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        return f"a small pair of frames takes more than {PATIENCE:.0f} s"
    said = [line for line in (done.stdout if not done.returncode else done.stderr).splitlines() if line.strip()]
    last = said[-1].strip() if said else "it says nothing"
    if done.returncode < 0:
        return f"the process is ended by {signal.Signals(-done.returncode).name}: {last}"
    return {_WORKS: None, _NONE: ""}.get(last, last)
