"""A training on a disk that fills up, then again with room.

unshare -Urm python -m tests.makers.processes.little_disk FOLDER WHEN
"""

import contextlib
import subprocess
import sys
from pathlib import Path

from commands.running import quiet_tensorflow, run


def main(folder: Path, when: str) -> None:
    quiet_tensorflow()
    import keras

    from tests.makers.training import train_made

    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], check=True)
    place = folder / "run" if when == "tensorboard" else disk / "run"
    place.mkdir()

    class Filling(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if when == "checkpoint" and epoch == 1:
                fill(disk)

        def on_train_end(self, logs=None):
            fill(disk)

    if when == "tensorboard":
        (place / "tensorboard").symlink_to(disk)
        fill(disk)
    with contextlib.suppress(SystemExit):
        run(lambda: train_made(place, watch=Filling()))
    (disk / "filled").unlink()
    assert train_made(place).model.exists()


def fill(disk: Path) -> None:
    with contextlib.suppress(OSError), (disk / "filled").open("ab", buffering=0) as file:
        while True:
            file.write(bytes(1000))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
