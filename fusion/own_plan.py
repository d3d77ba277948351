"""Plans the time of ./run own: what to spend it on, how long each step takes, and how much is left."""

import contextlib
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data.extraction.decoder import Decoder
from data.extraction.video_files import is_video, walk_files
from streams.recipes.chosen import OWN, QUICK

# Seconds of one processor, measured on clips of two seconds: to prepare a clip, for each million pixels of its frames,
# and to score a clip by each stream.
PREPARING_CLIP, PREPARING = 0.15, 0.3
LOOKING = {OWN: {"temporal": 0.3, "spatial": 0.7}, QUICK: {"temporal": 0.2, "spatial": 0.4}}
# Seconds of each step for imports, graphs, solving and files, even with few clips.
STARTING = {"prepare": 12.0, "doctor": 3.0, "temporal": 30.0, "spatial": 20.0, "report": 22.0, "export": 16.0}
# Seconds of solving last layers again for the report, at most, and the number of clips scored three times more for it.
_SOLVING, _LOOKED_AT_AGAIN = 60.0, 40
# The approximate share of clips that is kept for the test.
_TEST = 0.3
# The number of clips whose length and size are read, and the assumed millions of pixels of clips that can't be read.
_PROBED, _USUAL = 15, 4.0
# Planned seconds that are added to the measured ones, so that the first short step alone doesn't set the pace.
_TRUSTED = 30.0
# Fewer clips are too few to learn from.
LEAST_CLIPS = 20


@dataclass(frozen=True)
class Clips:
    """The number of clips, and the size of one: millions of pixels over all of its frames."""

    count: int
    size: float = _USUAL

    @classmethod
    def of(cls, folder: Path) -> "Clips":
        """Counts the clips of a folder, and estimates their size from some of them."""
        found = [path for path in walk_files(folder) if is_video(path)]
        sizes = []
        for path in found[:: max(1, len(found) // _PROBED)]:
            with contextlib.suppress(
                ValueError, StopIteration
            ):  # Unreadable clips are reported when they are prepared.
                decoder = Decoder(path)
                _, frame = next(decoder.frames())
                height, width = frame.shape[:2]
                smaller = min(1.0, 256 / min(height, width))
                sizes.append(max(1, decoder.declared_frames) * height * width * smaller**2 / 1e6)
        return cls(len(found), statistics.median(sizes) if sizes else _USUAL)


@dataclass(frozen=True)
class Plan:
    """The chosen recipe and limits, and the seconds that each step takes."""

    recipe: str
    questions: bool  # Whether the report has the learning curve and the scene test.
    limit: int  # The number of clips to use; 0 for all.
    seconds: Mapping[str, float]

    @property
    def minutes(self) -> float:
        """The duration of the whole plan."""
        return sum(self.seconds.values()) / 60


def plan_for(clips: Clips, minutes: float | None, processors: int) -> Plan:
    """Returns the best plan that fits the time. If none does, returns one that uses only a part of the clips."""
    minutes = math.inf if minutes is None else minutes
    for recipe, questions in ((OWN, True), (OWN, False), (QUICK, False)):
        plan = _plan(clips, recipe, questions, processors)
        if plan.minutes <= minutes:
            return plan
    without_clips = _plan(Clips(0), QUICK, False, processors).minutes
    each = (plan.minutes - without_clips) / max(1, clips.count)
    limit = min(clips.count, max(LEAST_CLIPS, int((minutes - without_clips) / each)))
    fewer = _plan(Clips(limit, clips.size), QUICK, False, processors)
    return Plan(QUICK, False, limit if limit < clips.count else 0, fewer.seconds)


def _plan(clips: Clips, recipe: str, questions: bool, processors: int) -> Plan:
    looking, count = LOOKING[recipe], clips.count
    again = min(_TEST * count, _LOOKED_AT_AGAIN) * 3 * sum(looking.values()) if questions else 0.0
    solving = min(_SOLVING, 0.2 * count) if questions else 0.0
    work = {
        "prepare": count * (PREPARING_CLIP + clips.size * PREPARING),
        "doctor": 0.05 * count,
        "temporal": (1 - _TEST) * count * looking["temporal"],
        "spatial": (1 - _TEST) * count * looking["spatial"],
        "report": _TEST * count * sum(looking.values()) + again + solving,
        "export": 0.0,
    }
    return Plan(recipe, questions, 0, {step: STARTING[step] + work[step] / processors for step in STARTING})


def sentences(clips: Clips, plan: Plan, minutes: float | None, processors: int) -> list[str]:
    """Describes a plan: its duration, what it leaves out, and what more time would bring."""
    best = plan_for(clips, None, processors)
    lines = [f"{clips.count} clips; about {duration(60 * plan.minutes)} on {processors} processors."]
    if minutes is None:
        return lines
    left_out = []
    if plan.recipe != OWN:
        left_out.append(f"only half as many frames and fields of each clip are used (recipe {plan.recipe})")
    if not plan.questions:
        left_out.append("the report has no learning curve and no scene test")
    if plan.limit:
        left_out.append(f"only {plan.limit} of {clips.count} clips are used")
    if not left_out:
        return [
            *lines,
            f"That is within {minutes:g} min. More time would bring nothing, because nothing is left out.",
        ]
    lines.append(f"To fit into {minutes:g} min, " + "; ".join(left_out) + ".")
    if plan.minutes > minutes:
        lines.append(f"Even so it takes {duration(60 * plan.minutes)}. With less, no useful model is possible.")
    return [*lines, f"With --minutes {best.minutes + 0.5:.0f}, nothing would be left out."]


def duration(seconds: float) -> str:
    """Returns a duration in words: 40 s, 7 min, 1 h 20 min."""
    if seconds < 90:
        return f"{max(5, 5 * round(seconds / 5))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


@dataclass
class Clock:
    """Estimates the remaining time of a plan by comparing the finished steps with it."""

    planned: Mapping[str, float]
    taken: dict[str, float] = field(default_factory=dict)  # Seconds of the finished steps.

    def left(self, steps: Sequence[str]) -> float:
        """Returns the seconds that these steps will take, if the machine stays as fast as it was so far."""
        done = sum(self.planned[step] for step in self.taken)
        pace: float = (sum(self.taken.values()) + _TRUSTED) / (done + _TRUSTED)
        return pace * sum(self.planned[step] for step in steps)
