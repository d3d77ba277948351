"""Tiny data sets behind the lists of published ones, for tests of whole commands."""

from data.catalog import open_dataset
from data.recipe import Recipe
from tests.made_data import extract_all, hmdb51_lists, ucf101_lists, write_clip

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
