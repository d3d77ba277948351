"""Hides the metadata of the package tensorflow, as where tensorflow-cpu is installed. Processes of tests import it."""

import importlib.metadata
from importlib.metadata import Distribution, PackageNotFoundError

_from_name = Distribution.from_name


def _without_tensorflow(name):
    if name == "tensorflow":
        raise PackageNotFoundError(name)
    return _from_name(name)


Distribution.from_name = staticmethod(_without_tensorflow)

try:
    importlib.metadata.version("tensorflow")
except PackageNotFoundError:
    pass
else:
    raise AssertionError("The metadata of tensorflow are still there.")
