"""Fixtures that tests of training share."""

import pytest

from tests.makers.training import train_made


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training of three epochs that was never interrupted."""
    return train_made(tmp_path_factory.mktemp("whole"), epochs=3)
