"""Which videos train and which choose: the choice is never made on the test list unless it is asked for by name."""

from data.catalog import DataSet, Video, cut_validation

# How weights are chosen: on groups cut from the training list; not at all, after a fixed schedule on the whole list;
# or on the test list, as much published code does, which flatters the result.
PROTOCOLS = ("validation", "paper", "test-selected")


def training_lists(
    dataset: DataSet, split: int, protocol: str, share: float, seed: int
) -> tuple[tuple[Video, ...], tuple[Video, ...]]:
    """Returns `(training, validation)` of a split under a protocol; `paper` has no validation videos."""
    listed = dataset.part(split, "train")
    if protocol == "validation":
        return cut_validation(listed, share, seed)
    return listed, dataset.part(split, "test") if protocol == "test-selected" else ()
