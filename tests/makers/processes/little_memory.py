"""A training in two gigabytes more than TensorFlow itself has.

python -m tests.makers.processes.little_memory FOLDER BATCH_SIZE
"""

import resource
import sys
from pathlib import Path

from commands.running import quiet_tensorflow, run

ROOM = 2 * 2**30


def main() -> None:
    quiet_tensorflow()
    import keras

    from tests.makers.training import NUM_CLASSES, train_made

    def wide_network():
        inputs = keras.Input((32, 32, 3), dtype="uint8")
        maps = keras.layers.Conv2D(64, 3, padding="same", activation="relu")(keras.layers.Rescaling(1 / 255)(inputs))
        pooled = keras.layers.GlobalAveragePooling2D()(maps)
        return keras.Model(inputs, keras.layers.Dense(NUM_CLASSES, dtype="float32", name="logits")(pooled))

    # Small ones: what a process may address is more than what it uses.
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, resource.RLIM_INFINITY))
    train_made(Path(sys.argv[1]), wide_network, batch_size=int(sys.argv[2]), epochs=1, protocol="paper")


if __name__ == "__main__":
    run(main)
