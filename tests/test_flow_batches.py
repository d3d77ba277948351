import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from data.flow import flow_engine, flow_of_video
from data.flow_batches import FlowBatches
from tests.moving_pictures import texture

# The processor's engine takes batches, too; it only doesn't ask for them.
ENGINE = dataclasses.replace(flow_engine("cpu", preset="fast", warps=1, iterations=5), batch=4)


def video(length: int, seed: int, size: tuple[int, int] = (20, 30)) -> list[np.ndarray]:
    return [texture(*size, seed=100 * seed + number) for number in range(length)]


def test_videos_side_by_side_get_the_flow_that_each_gets_alone():
    videos = [video(7, 1), video(2, 2), video(9, 3, size=(24, 20)), video(1, 4), video(5, 5)]

    with FlowBatches(ENGINE) as batches, ThreadPoolExecutor(len(videos)) as pool:
        together = list(pool.map(lambda frames: list(batches.flow_of_video(frames)), videos))

    for flows, frames in zip(together, videos, strict=True):
        alone = list(flow_of_video(frames, preset="fast", warps=1, iterations=5))
        np.testing.assert_array_equal(np.array(flows), np.array(alone))


def test_no_more_frames_are_read_ahead_than_a_batch_needs():
    read = []

    def frames():
        for number in range(100):
            read.append(number)
            yield texture(20, 20, number)

    with FlowBatches(ENGINE) as batches:
        next(batches.flow_of_video(frames()))

    assert len(read) <= ENGINE.batch + 2


def test_a_pair_without_flow_fails_where_it_was_asked_for_and_nowhere_else():
    frames = video(3, 1)

    with FlowBatches(ENGINE) as batches:
        good, bad, another = (batches.ask(frames[0], second) for second in (frames[1], texture(20, 22), frames[2]))

        with pytest.raises(ValueError, match="same size"):
            bad.result()
        assert good.result().shape == another.result().shape == (20, 30, 2)
