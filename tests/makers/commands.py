"""Tiny data sets behind the lists of published ones, for tests of whole commands."""

import os
import subprocess
import sys
from pathlib import Path

from data.ready import open_dataset
from data.store.description import Recipe
from tests.makers.data import extract_all, hmdb51_lists, ucf101_lists, write_clip

PROJECT = Path(__file__).resolve().parents[2]
LISTS = {"ucf101": ucf101_lists, "hmdb51": hmdb51_lists}
TINY = ["--crop-size", "32", "--epochs", "2", "--batch-size", "2"]


def make_data(root, name):
    """Prepares a data set of two classes, of which one moves."""
    LISTS[name](root)
    dataset = open_dataset(name, root)
    for number, video in enumerate(dataset.videos.values()):
        write_clip(root / "videos" / video.relative_path, frames=6, shift=2 * video.label, seed=number)
    extract_all(dataset, Recipe(method="dis"))
    return root


def words_for(root, name, runs, *others):
    """Returns what is typed for a tiny training."""
    return ["--dataset", name, "--root", str(root), "--runs", str(runs), *TINY, *others]


def ucf101(roots, runs, *words):
    """Returns what is typed for one that chooses its epoch."""
    return words_for(roots["ucf101"], "ucf101", runs, "--validation", "0.5", *words)


def run_of(runs):
    """Returns where a spatial one leaves its run."""
    return runs / "ucf101" / "spatial" / "split1"


def started(words, environment=(), **settings):
    """Starts spatial/train.py as a user does."""
    command = [sys.executable, str(PROJECT / "spatial" / "train.py"), *words]
    return subprocess.Popen(command, env={**os.environ, **dict(environment)}, text=True, **settings)
