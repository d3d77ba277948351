"""The last layer that is solved: planted rules are found, on groups that were not seen, and nothing is made up."""

import keras
import numpy as np
import pytest
from keras import layers

from streams.last_layer.mixing import choose_weights
from streams.last_layer.solving import group_folds, solve_last_layer


def network_of(num_classes, **parts):
    """A network whose features are its input, in parts of so many."""
    inputs = keras.Input((sum(parts.values()),))
    edges = np.cumsum([0, *parts.values()])
    pieces = [layers.Identity(name=name)(inputs[:, a:b]) for name, a, b in zip(parts, edges, edges[1:], strict=False)]
    features = (
        layers.Concatenate(name="features")(pieces) if len(pieces) > 1 else layers.Identity(name="features")(inputs)
    )
    return keras.Model(inputs, layers.Dense(num_classes, name="logits")(features))


def planted(num_videos=160, num_features=10, num_classes=4, per_group=4, seed=0):
    """Features of which a linear rule makes the labels; what a group has in common says nothing of its class."""
    random = np.random.default_rng(seed)
    groups = np.arange(num_videos) // per_group
    own = random.normal(size=(num_videos, num_features))
    features = own + 2 * random.normal(size=(groups.max() + 1, num_features))[groups]
    rule = np.random.default_rng(1).normal(size=(num_features, num_classes))
    return features.astype(np.float32), (features @ rule).argmax(axis=1), [f"g{number}" for number in groups]


def solved(network, features, labels, groups):
    return solve_last_layer(network, features, labels, list(groups))


def accuracy(logits, labels):
    return float(np.mean(np.argmax(logits, axis=1) == labels))


def test_a_planted_rule_is_found_and_holds_on_groups_that_were_not_seen():
    network, (features, labels, groups) = network_of(4, all=10), planted()

    solution = solved(network, features, labels, groups)

    fresh, truth, _ = planted(seed=2)
    assert accuracy(solution.held_out, labels) > 0.75
    assert accuracy(network(fresh).numpy(), truth) > 0.75


def test_held_out_logits_are_honest_where_only_the_group_gives_a_class_away():
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 5)
    # Each group has a look of its own, and a class that is drawn: who has seen the group knows it.
    features = (5 * random.normal(size=(30, 40))[groups] + 0.1 * random.normal(size=(150, 40))).astype(np.float32)
    labels = random.permutation(np.arange(30) % 2)[groups]
    network = network_of(2, all=40)

    solution = solved(network, features, labels, map(str, groups))

    assert accuracy(network(features).numpy(), labels) > 0.9
    assert accuracy(solution.held_out, labels) < 0.7


def test_the_logits_of_the_network_are_kernel_times_features_and_bias():
    network, (features, labels, groups) = network_of(4, look=6, change=4), planted()

    solved(network, features, labels, groups)

    kernel, bias = network.get_layer("logits").get_weights()
    np.testing.assert_allclose(network(features).numpy(), features @ kernel + bias, rtol=1e-4, atol=1e-4)


def test_the_same_videos_give_the_same_answer_twice():
    (features, labels, groups), networks = planted(), [network_of(4, all=10) for _ in range(2)]

    solutions = [solved(network, features, labels, groups) for network in networks]

    np.testing.assert_array_equal(*(solution.held_out for solution in solutions))
    for one, other in zip(*(network.get_weights() for network in networks), strict=True):
        np.testing.assert_array_equal(one, other)


def test_folds_part_no_group_and_judge_every_video_once():
    _, labels, groups = planted()

    judged = []
    for rows, others in group_folds(labels, groups):
        assert not {groups[row] for row in rows} & {groups[row] for row in others}
        judged.extend(others)

    assert sorted(judged) == list(range(len(labels)))


def test_two_classes_are_told_apart_with_opposite_logits():
    features, labels, groups = planted(num_classes=2)
    network = network_of(2, all=10)

    solution = solved(network, features, labels, groups)

    logits = network(features).numpy()
    assert accuracy(solution.held_out, labels) > 0.8
    np.testing.assert_allclose(logits[:, 0], -logits[:, 1], atol=1e-4)


def test_a_class_that_some_folds_never_saw_is_as_good_as_excluded_there_and_known_at_last():
    features, labels, groups = planted()
    labels = np.where(labels == 3, 0, labels)
    rare = np.array([group == "g7" for group in groups])
    labels[rare], features[rare, 0] = 3, 60.0  # One group has the class to itself.
    network = network_of(4, all=10)

    solution = solved(network, features, labels, groups)

    assert np.isfinite(solution.held_out).all()
    assert (solution.held_out[rare].argmax(axis=1) != 3).all()
    assert (network(features[rare]).numpy().argmax(axis=1) == 3).all()


def test_a_class_without_any_video_is_never_answered():
    features, labels, groups = planted(num_classes=3)
    network = network_of(5, all=10)

    solved(network, features, labels, groups)

    assert set(network(features).numpy().argmax(axis=1)) == {0, 1, 2}


def test_folds_that_saw_one_class_only_answer_with_it_whichever_it_is():
    random = np.random.default_rng(0)
    groups, features = ["a"] * 6 + ["b"] * 6, random.normal(size=(12, 5)).astype(np.float32)
    labels = np.repeat([0, 1], 6)

    solution = solved(network_of(2, all=5), features, labels, groups)

    assert np.isfinite(solution.held_out).all()
    # Each group was judged by who knows the other class alone.
    assert accuracy(solution.held_out, labels) == 0


def test_several_labels_are_told_apart_one_by_one():
    random = np.random.default_rng(0)
    features, groups = random.normal(size=(200, 12)).astype(np.float32), np.arange(200) // 2
    labels = (features @ random.normal(size=(12, 3)) > 0).astype(np.uint8)
    labels[:, 2] = 0  # A label that nothing has.
    network = network_of(3, all=12)

    solution = solved(network, features, labels, map(str, groups))

    assert np.mean((solution.held_out[:, :2] > 0) == labels[:, :2]) > 0.9
    assert (network(features).numpy()[:, 2] < 0).all()


def test_few_videos_are_solved_with_as_many_folds_as_the_commonest_class_allows():
    features, labels = np.array([[1.0], [2.0], [-1.0], [-2.0]], np.float32), np.array([1, 1, 0, 0])
    network = network_of(2, all=1)

    solved(network, features, labels, "abcd")

    assert accuracy(network(features).numpy(), labels) == 1


@pytest.mark.parametrize(
    ("labels", "groups", "message"),
    [
        ([0, 1, 0, 1], "aaaa", r"needs at least 2 groups\. There is one\."),
        ([0, 1, 2, 3], "abcd", r"needs at least 2 training videos of one class"),
    ],
)
def test_too_little_for_folds_is_said_in_one_sentence(labels, groups, message):
    with pytest.raises(ValueError, match=message):
        solved(network_of(4, all=2), np.zeros((4, 2), np.float32), np.array(labels), groups)


def test_features_that_never_vary_do_no_harm():
    features, labels, groups = planted()
    features[:, 5] = 7.0
    network = network_of(4, all=10)

    solution = solved(network, features, labels, groups)

    assert all(np.isfinite(weights).all() for weights in network.get_weights())
    assert accuracy(solution.held_out, labels) > 0.7


def test_a_part_that_knows_nothing_has_no_weight_and_no_say():
    features, labels, groups = planted()
    noise = np.random.default_rng(3).normal(size=(len(features), 50)).astype(np.float32)
    network = network_of(4, look=10, noise=50)

    solution = solved(network, np.hstack([features, noise]), labels, groups)

    assert solution.weights["noise"] == 0
    assert solution.weights["look"] > 0
    assert not network.get_layer("logits").get_weights()[0][10:].any()


def test_two_parts_that_know_different_classes_are_better_than_either():
    random = np.random.default_rng(0)
    labels, groups = random.integers(0, 4, 200), [str(number) for number in np.arange(200) // 2]

    def pairs(value):
        return (np.eye(2)[value] + 0.3 * random.normal(size=(200, 2))).astype(np.float32)

    # One part tells 0 and 1 from 2 and 3, the other even from odd.
    network = network_of(4, first=2, second=2)
    solution = solved(network, np.hstack([pairs(labels // 2), pairs(labels % 2)]), labels, groups)

    assert min(solution.weights.values()) > 0
    assert accuracy(solution.held_out, labels) > 0.85


def logits_of(labels, level, seed, num_classes=4):
    noise = np.random.default_rng(seed).normal(size=(len(labels), num_classes))
    return level * np.eye(num_classes)[labels] + noise


LABELS = np.arange(200) % 4
GROUPS = [str(number) for number in np.arange(200) // 4]


def test_the_better_source_is_taken_alone_where_the_other_is_noise():
    for order in ((3.0, 0.0), (0.0, 3.0)):
        weights = choose_weights([logits_of(LABELS, level, place) for place, level in enumerate(order)], LABELS, GROUPS)

        np.testing.assert_array_equal(weights > 0, [level > 0 for level in order])


def test_two_sources_that_are_equally_good_and_err_apart_are_weighed_about_alike():
    first, second = choose_weights([logits_of(LABELS, 2.0, seed) for seed in (0, 1)], LABELS, GROUPS)

    assert first == pytest.approx(second, rel=0.5)


def test_a_source_that_is_ten_times_too_sure_is_weighed_a_tenth():
    sources = [logits_of(LABELS, 2.0, seed) for seed in (0, 1)]

    plain = choose_weights(sources, LABELS, GROUPS)
    louder = choose_weights([sources[0], 10 * sources[1]], LABELS, GROUPS)

    np.testing.assert_allclose(louder * [1, 10], plain, rtol=0.15)


def test_one_source_alone_keeps_its_decisions():
    (weight,) = choose_weights([logits_of(LABELS, 2.0, 0)], LABELS, GROUPS)

    assert weight > 0


def test_sources_that_know_less_than_nothing_still_give_decisions():
    misled = [-logits_of(LABELS, 3.0, seed) for seed in (0, 1)]

    weights = choose_weights(misled, LABELS, GROUPS)

    assert (weights > 0).any()
