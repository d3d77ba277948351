"""Accuracy on frequent, medium and rare classes."""

import pytest

from fusion.report.rare_classes import bands_of, in_words

COUNTS = [3, 90, 30, 9, 60, 4]  # Of each class in training: 1 and 4 are frequent, 2 and 3 medium, 5 and 0 rare.


def test_classes_are_parted_by_their_training_videos_and_count_alike():
    labels = [1, 1, 1, 4, 2, 3, 0, 0, 5]
    decisions = {"average": [1, 1, 0, 4, 2, 1, 0, 1, 5]}

    bands = bands_of(COUNTS, labels, decisions)

    assert [(each["name"], each["classes"], each["fewest"], each["most"], each["videos"]) for each in bands] == [
        ("frequent", 2, 60, 90, 4),
        ("medium", 2, 9, 30, 2),
        ("rare", 2, 3, 4, 3),
    ]
    accuracies = [each["accuracy"]["average"] for each in bands]
    assert accuracies == pytest.approx([(2 / 3 + 1) / 2, 0.5, (0.5 + 1) / 2])
    assert "75.0% on 2 rare classes (3 to 4 training videos)" in in_words(bands, "average")


def test_where_classes_are_about_as_frequent_none_is_rare():
    assert bands_of([30, 35, 40, 50], [0, 1, 2, 3], {"average": [0, 1, 2, 3]}) == []
    assert in_words([], "average") == ""


def test_a_band_without_test_videos_has_no_accuracy():
    bands = bands_of(COUNTS, [1, 4], {"average": [1, 4]})

    assert bands[2]["videos"] == 0
    assert bands[2]["accuracy"] == {}
    assert "rare" not in in_words(bands, "average")
