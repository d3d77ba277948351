"""The variations of clips by name: their purpose, their amount, and the clips they suit. No pixels here."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.inputs import FLOW_KINDS


@dataclass(frozen=True)
class Variation:
    """The meaning of a name. An amount is a share of clips if `is_share`, else the range of the drawn number."""

    usual: float  # The amount if none is given.
    most: float
    does: str
    least: float = 0.0
    of: str = "all"  # "flow", "colour" (frames) or "moving" (clips of several frames or fields); "all" for any clip.
    is_drawn: bool = True  # Whether `random` may draw it.
    only_named: bool = False  # Whether `random` draws it only if it is named too.


# Scales are drawn from 1 / amount to amount; rotations and shares from -amount to amount.
VARIATIONS = {
    "rotate": Variation(15.0, 180.0, "rotate by up to this many degrees"),
    "scale": Variation(1.25, 4.0, "enlarge or shrink by up to this factor", 1.0),
    "stretch": Variation(1.25, 4.0, "widen or narrow by up to this factor", 1.0),
    "shear": Variation(0.15, 1.0, "shear rows sideways by up to this share of their distance"),
    "speed": Variation(1.5, 8.0, "speed up or slow down by up to this factor", 1.0, of="flow"),
    # Backwards, many actions are other actions: alone, it cost 6 points on spoken words and gained nothing elsewhere.
    "backwards": Variation(0.5, 1.0, "play this share of clips backwards", of="moving", only_named=True),
    "brightness": Variation(0.3, 1.0, "change the brightness by up to this share", of="colour"),
    "contrast": Variation(0.3, 1.0, "change the contrast by up to this share", of="colour"),
    "saturation": Variation(0.3, 1.0, "change the saturation by up to this share", of="colour"),
    "random": Variation(2.0, 9.0, "draw this many of the above for each clip (RandAugment)", 1.0, is_drawn=False),
    "erase": Variation(0.25, 1.0, "cover a rectangle in this share of clips", is_drawn=False),
    "mixup": Variation(0.2, 8.0, "mix two clips and their classes, by Beta(amount, amount)", 0.01, is_drawn=False),
    "cutmix": Variation(1.0, 8.0, "insert a rectangle of another clip, by Beta(amount, amount)", 0.01, is_drawn=False),
}
# These are one resampling of the clip together, which XLA can't compile.
PLACES = ("rotate", "scale", "stretch", "shear")
MIXES = ("mixup", "cutmix")


def variations_of(words: Sequence[str]) -> dict[str, float]:
    """Reads names, each with its amount after a colon if that is not the usual one."""
    found = {}
    for word in words:
        name, _, text = word.partition(":")
        known = VARIATIONS.get(name)
        if known is None:
            raise ValueError(f"There is no variation {name!r} of clips. Choose among {', '.join(VARIATIONS)}.")
        try:
            amount = float(text) if text else known.usual
        except ValueError:
            amount = math.nan
        if not known.least <= amount <= known.most or (name == "random" and amount % 1):
            raise ValueError(
                f"--vary {word}: the amount of {name} must be a number from {known.least:g} to {known.most:g}, to "
                f"{known.does}."
            )
        found[name] = amount
    if "random" in found and not any(VARIATIONS[name].is_drawn for name in found):
        usual = {name: each.usual for name, each in VARIATIONS.items() if each.is_drawn and not each.only_named}
        found = usual | found
    return found


def suiting(found: Mapping[str, float], words: Sequence[str], kinds: Mapping[str, int]) -> dict[str, float]:
    """Returns the variations that change clips of some kinds. `kinds` maps each kind to the clip's frames or fields.

    A name that was typed but changes none of them raises ValueError.
    """
    fits = {
        "all": True,
        "flow": any(kind in FLOW_KINDS for kind in kinds),
        "colour": any(kind not in FLOW_KINDS for kind in kinds),
        "moving": any(number > 1 for number in kinds.values()),
    }
    typed = [word.partition(":")[0] for word in words]
    for name in typed:
        if not fits[VARIATIONS[name].of]:
            raise ValueError(
                f"--vary {name} would {VARIATIONS[name].does}, which changes no clip of {', '.join(kinds)}."
            )
        if name == "backwards" and "trajectory" in kinds:
            raise ValueError("--vary backwards can't follow points of --input trajectory backwards. Drop one of them.")
    return {
        name: amount
        for name, amount in found.items()
        if fits[VARIATIONS[name].of] and not (name == "backwards" and "trajectory" in kinds)
    }
