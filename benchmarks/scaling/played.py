"""Plays preparing, training and scoring on many machines, some of which die: a discrete-event model."""

import heapq
import random
from dataclasses import dataclass, replace

# Events of a stage that are played at most: where there are more videos, some are taken together.
_MOST_EVENTS = 200_000


@dataclass(frozen=True)
class Rates:
    """Seconds and bytes, measured on one core of the machine that ran --calibrate."""

    start: float = 2.0  # Until a worker has its first video: imports, and kernels from the cache.
    decode: float = 0.00033  # Of a frame of 340 x 256.
    flow: float = 0.0063  # Of a pair of frames, TV-L1, preset balanced.
    encode: float = 0.0037  # Of a frame and its two images of flow.
    stored: float = 31_000.0  # Bytes of these three.
    read: float = 0.0021  # Of the files of a clip for training: reading, decoding, cropping.
    # Of a clip of ten fields in a step of MobileNet at 224 pixels, on the device of a machine: here, a processor.
    step: float = 0.060
    score: float = 5.0  # Of the 25 x 10 crops of a video on that device.
    spread: float = 0.3  # Standard deviation of the work on a video, as a share of it: videos differ in length.


@dataclass(frozen=True)
class Prices:
    """What things cost, in whatever currency: edit a file of these and name it by --prices."""

    machine_hour: float = 1.5
    gigabyte_month: float = 0.02
    months: float = 2.0  # How long frames and flow are kept.


@dataclass(frozen=True)
class Fleet:
    """The machines, what joins them, and how often they die."""

    machines: int = 64
    cores: int = 16
    hours_between_deaths: float = 1000.0  # Of one machine.
    minutes_to_return: float = 10.0
    gigabytes_a_second: float = 5.0  # Of the storage that all machines share.
    reduce_seconds: float = 0.02  # What machines wait in each step for the sum of their gradients.
    checkpoint_minutes: float = 10.0
    rejoin_seconds: float = 300.0


@dataclass(frozen=True)
class Data:
    """A data set, and how it is trained on."""

    name: str
    videos: int
    frames: int = 250
    epochs: int = 30
    batch_size: int = 2048
    tested: float = 0.05  # The share of videos that are scored.


DATA = (Data("Kinetics-700", 650_000), Data("100 million clips", 100_000_000, epochs=3, batch_size=8192, tested=0.001))


@dataclass(frozen=True)
class Stage:
    """How long a stage took, what it lost to deaths, and what was in the way."""

    name: str
    hours: float
    deaths: int
    lost: float  # The share of the work that was done twice, or waited for.
    bottleneck: str


def play(data: Data, fleet: Fleet, rates: Rates, seed: int) -> list[Stage]:
    """Returns the stages of a data set, one after the other."""
    chance = random.Random(seed)
    frame = rates.decode + rates.flow + rates.encode
    written = data.frames * rates.stored
    prepare = shared_out("prepare", data.videos, data.frames * frame, written, fleet, rates, chance)
    train = in_step(data, fleet, rates, chance)
    # One scoring process a machine, which has one device.
    alone = replace(fleet, cores=1)
    tested = max(1, round(data.videos * data.tested))
    score = shared_out("score", tested, rates.score, written, alone, rates, chance)
    return [prepare, train, score]


def shared_out(
    name: str, videos: int, seconds: float, moved: float, fleet: Fleet, rates: Rates, chance: random.Random
) -> Stage:
    """Plays workers that take videos from one queue; what a worker that dies had in work is done again."""
    together = max(1, videos // _MOST_EVENTS)
    left, total = -(-videos // together), videos * seconds
    # What all write at once must fit through the storage.
    slowdown = max(1.0, fleet.machines * fleet.cores * moved / seconds / (fleet.gigabytes_a_second * 1e9))
    deaths, lost, now = 0, 0.0, 0.0
    dying = {machine: chance.expovariate(1 / (fleet.hours_between_deaths * 3600)) for machine in range(fleet.machines)}
    back = dict.fromkeys(range(fleet.machines), 0.0)
    free = [(rates.start, machine) for machine in range(fleet.machines) for _ in range(fleet.cores)]
    heapq.heapify(free)
    ends = 0.0
    while left:
        now, machine = heapq.heappop(free)
        if now >= dying[machine]:  # It has died meanwhile, with all of its workers.
            deaths += 1
            back[machine] = dying[machine] + 60 * fleet.minutes_to_return + rates.start
            dying[machine] = back[machine] + chance.expovariate(1 / (fleet.hours_between_deaths * 3600))
        if now < back[machine]:
            heapq.heappush(free, (back[machine], machine))
            continue
        # The mean length of many videos together varies less than that of one.
        took = together * seconds * slowdown * max(0.2, chance.gauss(1.0, rates.spread / together**0.5))
        if now + took > dying[machine]:
            lost += dying[machine] - now
            heapq.heappush(free, (dying[machine], machine))
            continue
        left -= 1
        ends = max(ends, now + took)
        heapq.heappush(free, (now + took, machine))
    cause = "the storage" if slowdown > 1 else "processor cores" if name == "prepare" else "devices that score"
    return Stage(name, ends / 3600, deaths, lost / total, cause)


def in_step(data: Data, fleet: Fleet, rates: Rates, chance: random.Random) -> Stage:
    """Plays a training in which all machines wait for each other, and for a while for one that has died."""
    steps_left = float(data.epochs * data.videos // data.batch_size)
    here, now, deaths, lost, saved = fleet.machines, 0.0, 0, 0.0, 0.0
    cause = ""
    following = chance.expovariate(fleet.machines / (fleet.hours_between_deaths * 3600))
    while steps_left > 0:
        part = -(-data.batch_size // here)
        times = {
            "devices that train": part * rates.step,
            "reading clips": part * rates.read / fleet.cores,
            "the network between machines": fleet.reduce_seconds,
        }
        cause = max(times, key=lambda each: times[each])
        # Clips are read while the device works; gradients are summed afterwards.
        step = max(times["devices that train"], times["reading clips"]) + fleet.reduce_seconds
        until = min(now + steps_left * step, following)
        steps_left -= (until - now) / step
        now = until
        if steps_left <= 1e-9:
            break
        deaths += 1
        since = min(now - saved, chance.uniform(0, 60 * fleet.checkpoint_minutes))
        steps_left += since / step  # What came after the last checkpoint is done again.
        wait = min(fleet.rejoin_seconds, 60 * fleet.minutes_to_return) + rates.start
        lost, now, saved = lost + since + wait, now + wait, now + wait
        following = now + chance.expovariate(here / (fleet.hours_between_deaths * 3600))
    return Stage("train", now / 3600, deaths, lost / now, cause)
