"""What may be chosen about training clips: as options of a command, and as what the pipeline is told."""

from collections import Counter
from dataclasses import dataclass

from commands.options import option

AUGMENTATIONS = ("none", "flip", "paper", "corners")


@dataclass(frozen=True, kw_only=True)
class ClipOptions:
    """The options of a training command that are about its clips."""

    augment: str = option(
        "flip",
        "none: the centre. flip: a random crop, mirrored in half of all cases. paper: its colours changed, too. "
        "corners: corners and centre of several sizes and shapes, mirrored",
        choices=AUGMENTATIONS,
    )
    balance: bool = option(False, "draw uniformly over classes instead of over videos")
    skip_broken: bool = option(False, "put another clip in place of one that can't be read, and report it")

    def drawing(self, shard: tuple[int, int] = (0, 1)) -> "Drawing":
        """Returns what the pipeline is told."""
        return Drawing(self.augment, self.balance, shard=shard, skipped=Counter() if self.skip_broken else None)


@dataclass(frozen=True)
class Drawing:
    """How training clips are drawn and cut, besides their size and number."""

    augment: str = "flip"  # One of AUGMENTATIONS.
    balance: bool = False  # Draw uniformly over classes, however many videos each has, rather than over videos.
    device_crop: bool = False  # Ship whole fields: `device.crop` cuts them where the network runs.
    shard: tuple[int, int] = (0, 1)  # Which of how many equal parts of each batch this machine makes.
    skipped: Counter[str] | None = None  # Counts clips that can't be read, by video, instead of stopping at them.

    def __post_init__(self) -> None:
        """Refuses augmentations that don't exist."""
        if self.augment not in AUGMENTATIONS:
            known = ", ".join(AUGMENTATIONS)
            raise ValueError(f"There is no augmentation {self.augment!r}. Those known are: {known}.")
