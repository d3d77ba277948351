"""What must agree between two models before they look at one video together."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from fusion.making import Making
from streams.modelfile import BOTH, ModelCard

SLOTS = ("spatial", "temporal")


def check_cards(cards: Mapping[str, ModelCard], models: Mapping[str, Path]) -> None:
    """Refuses models that lie in each other's place or that don't know the same classes."""
    for slot, card in cards.items():
        if card.stream == BOTH:
            raise ValueError(f"{models[slot]} is a network of both streams, but was given as --{slot}: pass --model.")
        if slot in SLOTS and card.stream in SLOTS and card.stream != slot:
            raise ValueError(
                f"{models[slot]} is a {card.stream} model (input {card.input_kind}), but was given as --{slot}. "
                f"Pass it as --{card.stream}."
            )
    (first, ours), *others = cards.items()
    for name, card in others:
        if card.classes != ours.classes:
            raise ValueError(
                f"The streams must know the same classes in the same order. {models[first]} has {len(ours.classes)}, "
                f"{models[name]} has {len(card.classes)}; the first difference is "
                f"{_first_difference(ours.classes, card.classes)}. Name two models that were trained on one data set."
            )


def making_of(cards: Iterable[ModelCard]) -> Making:
    """Returns how frames and flow are to be made for all of these models at once."""
    described = [description for card in cards if (description := {**card.frames, **card.flow})]
    makings = [Making.of(description) for description in described]
    for other in makings[1:]:
        for name in ("short_side", "size", "fps", "every"):
            if getattr(other, name) != getattr(makings[0], name):
                raise ValueError(
                    f"The streams were trained on frames made differently: {name} is {getattr(makings[0], name)} for "
                    f"one and {getattr(other, name)} for the other. Name two models of one prepared data set."
                )
    # Flow is described by those that were trained on it.
    with_flow = (making for making, said in zip(makings, described, strict=True) if "method" in said)
    return next(with_flow, makings[0] if makings else Making())


def _first_difference(ours: tuple[str, ...], theirs: tuple[str, ...]) -> str:
    for place, pair in enumerate(zip(ours, theirs, strict=False)):
        if pair[0] != pair[1]:
            return f"class {place}, {pair[0]} against {pair[1]}"
    return f"class {min(len(ours), len(theirs))}, which only one of them has"
