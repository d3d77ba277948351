"""Fixtures that tests of fusion share."""

import pytest

from tests.makers.models import make_model


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The files of a tiny model of each stream, which no test changes."""
    folder = tmp_path_factory.mktemp("models")
    return {stream: make_model(folder / f"{stream}.keras", stream) for stream in ("spatial", "temporal")}
