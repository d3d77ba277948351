"""Tries in a process of its own whether this machine's GPU computes flow: on some cards XLA ends the whole process."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

from commands.files import project_on_path
from commands.waiting import Now

# Device files of the drivers of NVIDIA, AMD and the Windows Subsystem for Linux.
DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
# Seconds that importing TensorFlow and compiling for one small pair may take.
PATIENCE = 300.0
_WORKS, _NONE = "A GPU has computed flow.", "TensorFlow finds no GPU."
# A whole solver, since a card may fail at any of its kernels.
_TRIAL = f"""
import tensorflow as tf
if tf.config.list_physical_devices("GPU"):
    import numpy as np
    from data.optical_flow.engine import xla_engine
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 64), np.uint8)
    flow = xla_engine("fast", 1).flow_of_batch(frames[:1], frames[1:])
    print({_WORKS!r} if np.isfinite(flow).all() else "It computes what is no number.")
else:
    print({_NONE!r})
"""


def may_have_gpu() -> bool:
    """Tells whether it is worth to import TensorFlow and look for a GPU: there is a device file."""
    return any(Path(device).exists() for device in DEVICES) and importlib.util.find_spec("tensorflow") is not None


@cache
def trouble_of_gpu() -> str | None:
    """Returns why no GPU computes flow here: "" if there is none, a reason if it fails, None if it works."""
    if not may_have_gpu():
        return ""
    Now.doing = "Trying whether the GPU computes flow, in a process of its own"
    try:
        done = subprocess.run(
            [sys.executable, "-c", _TRIAL], env=project_on_path(), capture_output=True, text=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        return f"a small pair of frames takes it longer than {PATIENCE:.0f} s"
    said = [line for line in (done.stdout if not done.returncode else done.stderr).splitlines() if line.strip()]
    last = said[-1].strip() if said else "it says nothing"
    if done.returncode < 0:
        return f"the process is ended by {signal.Signals(-done.returncode).name}: {last}"
    return {_WORKS: None, _NONE: ""}.get(last, last)
