"""Scoring by Keras' JAX backend, where JAX is installed: the answers of TensorFlow, from the same files."""

import csv
import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

from streams.runs.run_folder import Run
from streams.runs.score_file import read_scores
from tests.conftest import PROJECT
from tests.fusion.test_shared_out import dataset, evaluate_words, file_of, runs  # noqa: F401
from tests.makers.models import make_video

needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
JAX = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}


def run(command, environment=None):
    done = subprocess.run([sys.executable, *map(str, command)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_jax
@pytest.mark.slow
@pytest.mark.parametrize("crops", ["5", "full"])
def test_an_evaluation_by_jax_scores_as_one_by_tensorflow(dataset, runs, crops):  # noqa: F811
    path = file_of(runs) if crops == "5" else file_of(runs).with_name("test_3xfull.h5")
    command = [PROJECT / "fusion" / "evaluate.py", *evaluate_words(dataset, runs, "--crops", crops)]

    run(command)
    expected = read_scores(path)
    said = run([*command, "--rescore"], JAX)

    found = read_scores(path)
    assert "Report: " in said
    assert found.videos == expected.videos
    np.testing.assert_allclose(found.view_logits, expected.view_logits, atol=1e-4)
    assert not np.array_equal(found.view_logits, expected.view_logits)  # Otherwise JAX was not asked.


@needs_jax
@pytest.mark.slow
def test_predictions_by_jax_are_those_by_tensorflow(runs, tmp_path):  # noqa: F811
    video = make_video(tmp_path / "clip.mp4")
    command = [PROJECT / "fusion" / "predict.py", video]
    command += [f"--{stream}={Run.of(runs, 'mine', stream, 1).model}" for stream in ("spatial", "temporal")]

    rows = []
    for name, environment in (("tensorflow", None), ("jax", JAX)):
        run([*command, "--csv", tmp_path / f"{name}.csv"], environment)
        rows.append(list(csv.DictReader((tmp_path / f"{name}.csv").open())))

    assert [row["class"] for row in rows[0]] == [row["class"] for row in rows[1]]
    np.testing.assert_allclose(*([float(row["probability"]) for row in each] for each in rows), atol=1e-4)
