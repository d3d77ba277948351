"""A stand-in for the published file of ImageNet weights: of the same form, with random numbers in it."""

from pathlib import Path

from streams.recipes.imagenet_files import NAMES


def write_imagenet(folder: Path, backbone: str = "mobilenet") -> Path:
    """Writes a file that Keras would take for MobileNet's."""
    import h5py
    import keras
    from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)
    network = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(128, 128, 3))
    path = folder / NAMES[backbone][0]
    with h5py.File(path, "w") as file:
        save_weights_to_hdf5_group(file, network)
    return path
