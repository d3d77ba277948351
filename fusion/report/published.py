"""Published video accuracies for the same lists, in percent, to compare ours with."""

from typing import NamedTuple


class Published(NamedTuple):
    """The published accuracy of each stream and of their fusion; None if a publication does not give it."""

    source: str
    spatial: float | None
    temporal: float | None
    average: float | None
    svm: float | None = None


# By data set and split. "all" is the mean of the three splits.
PUBLISHED = {
    ("ucf101", "1"): (
        Published("Simonyan and Zisserman 2014, CNN-M", 72.8, 81.0, 85.9, 87.0),
        Published("Wang et al. 2015, VGG-16", 79.8, 85.7, 90.9),
        Published("Wang et al. 2016, temporal segments", 85.7, 87.9, 93.5),
        Published("An earlier reproduction in Keras, selected on the test list", 73.1, 78.8, 82.0),
    ),
    ("ucf101", "all"): (Published("Simonyan and Zisserman 2014, CNN-M", 73.0, 83.7, 86.9, 88.0),),
    ("hmdb51", "all"): (Published("Simonyan and Zisserman 2014, CNN-M", 40.5, 54.6, 58.0, 59.4),),
}
