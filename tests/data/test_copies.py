"""Copies of videos are found however they were altered, and other clips of the same scene are not taken for copies."""

import cv2
import numpy as np
import pytest

from data.audit.copies import audit_copies, copies, look_at
from data.catalog import DataSet, Split, Video
from data.extraction.decoder import read_frames
from tests.makers.frames import write
from tests.makers.moving_pictures import texture

HEIGHT, WIDTH, FRAMES = 90, 120, 30


def scene(seed, path=0):
    """A textured place in which two textured things move; of one seed, another path is another clip of the place."""
    place = texture(HEIGHT, WIDTH, seed)
    things = [texture(24, 24, 1000 + 10 * seed + number) for number in range(2)]
    angles, speeds = np.random.default_rng([seed, path]).uniform((0, 0.1), (6, 0.25), (2, 2)).T
    frames = []
    for time in range(FRAMES):
        frame = place.copy()
        for thing, angle, speed in zip(things, angles, speeds, strict=True):
            top = int((HEIGHT - 24) * (0.5 + 0.48 * np.sin(angle + speed * time)))
            left = int((WIDTH - 24) * (0.5 + 0.48 * np.cos(2 * angle + speed * time)))
            frame[top : top + 24, left : left + 24] = thing
        frames.append(frame)
    return frames


def resized(frames, size):
    return [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames]


def recoded(frames, quality=25):
    coded = [cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1] for frame in frames]
    return [cv2.imdecode(each, cv2.IMREAD_GRAYSCALE) for each in coded]


def cropped(frames, share=0.1):
    high, wide = round(HEIGHT * share / 2), round(WIDTH * share / 2)
    return resized([frame[high:-high, wide:-wide] for frame in frames], (WIDTH, HEIGHT))


def barred(frames, above=16, beside=0):
    sides = above, above, beside, beside
    return [cv2.copyMakeBorder(frame, *sides, cv2.BORDER_CONSTANT, value=0) for frame in frames]


def grey(path):
    return [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in read_frames(path)]


KINDS = {
    "recoded": recoded,
    "made smaller": lambda frames: resized(frames, (WIDTH // 2, HEIGHT // 2)),
    "brighter": lambda frames: [cv2.convertScaleAbs(frame, alpha=1.1, beta=15) for frame in frames],
    "every second frame": lambda frames: frames[::2],
    "without the first 30 %": lambda frames: frames[9:],
    "without the last 30 %": lambda frames: frames[:-9],
    "mirrored": lambda frames: [frame[:, ::-1] for frame in frames],
    "cropped by 10 %": cropped,
    "between bars above and below": barred,
    "between bars at the sides": lambda frames: barred(frames, above=0, beside=20),
    "mirrored, cropped and recoded": lambda frames: recoded(cropped([frame[:, ::-1] for frame in frames])),
}


def dataset_of(root, clips):
    """A data set that trains on the first of these clips and tests on the others, each of a group of its own."""
    videos = {}
    for name, frames in clips.items():
        videos[name] = video = Video(name, "scenes", ".avi", (0,), name, num_frames=len(frames))
        made = DataSet("made", root, ("scenes",), videos, {})
        for index, frame in enumerate(frames):
            write(made.layout.frame_path(root, video, index), frame)
    first, *others = clips
    return DataSet("made", root, ("scenes",), videos, {1: Split((first,), tuple(others))})


def found_in(dataset):
    sides = {"Test part": (dataset.part(1, "train"), dataset.part(1, "test"))}
    return list(audit_copies(dataset, sides))


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_is_found_however_it_was_altered(kind, tmp_path):
    clips = {"original": scene(0), "copy": KINDS[kind](scene(0)), "other": scene(1), "another": scene(2)}

    (finding,) = found_in(dataset_of(tmp_path, clips))

    assert finding.videos == ("copy",)
    assert finding.severity == "error"


def test_other_clips_of_a_scene_are_no_copies(tmp_path):
    clips = {f"clip{path}": scene(0, path) for path in range(4)}

    assert found_in(dataset_of(tmp_path, clips)) == []


@pytest.mark.slow
def test_real_clips_are_copies_of_themselves_and_of_no_others(shared_data, tmp_path):
    clips = {}
    for path in sorted((shared_data / "clips" / "ucf101").glob("*.avi"))[:40]:
        clips[path.stem] = resized(grey(path), (WIDTH, HEIGHT))
    altered = dict(zip(list(clips)[:: len(clips) // len(KINDS)], KINDS, strict=False))
    copied = {f"{name} {kind}": KINDS[kind](clips[name]) for name, kind in altered.items()}
    dataset = dataset_of(tmp_path, clips | copied)

    pairs = {
        (one.name, other.name) for one, other in copies(dataset, [look_at(dataset, v) for v in dataset.videos.values()])
    }

    assert pairs == {(name, f"{name} {kind}") for name, kind in altered.items()}


@pytest.mark.slow
def test_a_word_that_one_speaker_repeats_is_no_copy_and_the_first_seconds_of_a_clip_are_one(shared_data, tmp_path):
    words, fights = shared_data / "clips" / "grid_words" / "place", shared_data / "clips" / "fights"
    repeated = {name: grey(words / f"{name}.mp4") for name in ("place_pbbj1a", "place_pbbv9a")}
    whole = resized(grey(next(fights.rglob("nofi045.*"))), (WIDTH, HEIGHT))

    assert found_in(dataset_of(tmp_path / "words", repeated)) == []
    (finding,) = found_in(
        dataset_of(tmp_path / "fights", {"whole": whole, "part": KINDS["without the last 30 %"](whole)})
    )
    assert finding.videos == ("part",)
