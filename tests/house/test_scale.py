"""What is played of large data: queues and steps whose length can be reckoned by hand, and deaths that cost time."""

import random
from dataclasses import asdict, replace

import pytest

from benchmarks.scaling.played import DATA, Data, Fleet, Rates, in_step, play, shared_out
from benchmarks.scaling.rates import calibrated
from benchmarks.scaling.real import validated

IMMORTAL = Fleet(machines=4, cores=8, hours_between_deaths=1e9, gigabytes_a_second=1e9)


def prepared(fleet, videos=20_000, seconds=30.0, moved=0.0, seed=0):
    return shared_out("prepare", videos, seconds, moved, fleet, Rates(start=0.0), random.Random(seed))


def test_without_deaths_the_work_is_shared_evenly():
    assert prepared(IMMORTAL).hours == pytest.approx(20_000 * 30 / 32 / 3600, rel=0.01)
    assert prepared(replace(IMMORTAL, machines=8)).hours == pytest.approx(prepared(IMMORTAL).hours / 2, rel=0.01)


def test_videos_of_equal_length_keep_all_workers_at_work_to_the_end():
    found = shared_out(
        "score", 12, 5.0, 0.0, replace(IMMORTAL, machines=2, cores=1), Rates(start=3.0, spread=0.0), random.Random(0)
    )

    assert found.hours * 3600 == pytest.approx(3.0 + 6 * 5.0)


def test_a_storage_that_is_too_slow_is_in_the_way():
    # 32 cores write 1 GB each 30 s, a bit more than 1 GB/s.
    slow = prepared(replace(IMMORTAL, gigabytes_a_second=0.5), moved=1e9)

    assert slow.bottleneck == "the storage"
    assert slow.hours == pytest.approx(20_000 * 1e9 / 0.5e9 / 3600, rel=0.02)


def test_machines_that_die_are_missed_for_as_long_as_they_are_away():
    dying = replace(IMMORTAL, machines=16, cores=1, hours_between_deaths=2.0, minutes_to_return=60.0)
    expected = prepared(replace(dying, hours_between_deaths=1e9)).hours

    found = [prepared(dying, seed=seed) for seed in range(8)]

    # A machine works for two hours and is away for one.
    assert sum(each.hours for each in found) / 8 == pytest.approx(expected * 3 / 2, rel=0.1)
    assert all(each.deaths > 50 and each.lost > 0 for each in found)


def test_a_step_takes_as_long_as_the_slowest_part_and_the_sum_of_gradients():
    data = Data("made", videos=6400, epochs=2, batch_size=64)
    rates = Rates(read=0.001, step=0.1, start=0.0)

    found = in_step(data, replace(IMMORTAL, reduce_seconds=0.4), rates, random.Random(0))

    assert found.hours == pytest.approx(200 * (16 * 0.1 + 0.4) / 3600)
    assert found.bottleneck == "devices that train"
    reading = in_step(data, replace(IMMORTAL, reduce_seconds=0.0), replace(rates, read=1.0), random.Random(0))
    assert (reading.bottleneck, reading.hours) == ("reading clips", pytest.approx(200 * 16 * 1.0 / 8 / 3600))


def test_a_death_costs_a_training_what_came_after_the_checkpoint_and_the_wait():
    data = Data("made", videos=640_000, epochs=10, batch_size=64)
    rates = Rates(read=0.001, step=0.01, start=0.0)
    alone = in_step(data, IMMORTAL, rates, random.Random(0))

    found = in_step(data, replace(IMMORTAL, hours_between_deaths=2.0), rates, random.Random(0))

    each = (found.hours - alone.hours) * 3600 / found.deaths
    assert found.deaths > 5
    assert 300 < each < 300 + 600


def test_the_same_seed_plays_the_same():
    fleet = Fleet(machines=64)

    assert play(DATA[0], fleet, Rates(), 3) == play(DATA[0], fleet, Rates(), 3)
    assert [stage.name for stage in play(DATA[1], fleet, Rates(), 0)] == ["prepare", "train", "score"]


@pytest.mark.slow
def test_rates_are_measured():
    found = calibrated()

    assert found.keys() == asdict(Rates()).keys()
    assert all(value > 0 for value in found.values())
    # Flow is most of the work on a frame.
    assert found["flow"] > found["decode"]


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_real_stages_take_as_long_as_the_played_ones():
    tries = []
    while not (tries and is_close(tries[-1])) and len(tries) < 2:  # Other work may spoil one try, a fault spoils both.
        tries.append(validated())

    assert tries[-1].keys() == {"prepare", "train", "score"}
    assert is_close(tries[-1]), tries


def is_close(found):
    return all(abs(ratio - 1) < 0.15 for ratios in found.values() for ratio in ratios.values())
