"""The costs of a training, estimated by a rehearsal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """The time and memory of a training, or of one of its stages."""

    epochs: int
    steps: int
    step: float  # Seconds.
    validation: float  # Seconds per epoch.
    memory: Mapping[str, float]  # The peak memory in gigabytes, of the process and of a GPU.

    @property
    def seconds(self) -> float:
        """The total time in seconds."""
        return self.steps * self.step + self.epochs * self.validation


def say_costs(costs: Sequence[Cost]) -> dict[str, float]:
    """Prints the costs of all stages of a training, and returns them."""
    minutes, steps = sum(cost.seconds for cost in costs) / 60, sum(cost.steps for cost in costs)
    memory = costs[-1].memory
    held = ", ".join(f"{size:.1f} GB by the {name.split('_')[0]}" for name, size in memory.items()) or "not known here"
    parts = f" in {len(costs)} stages" if len(costs) > 1 else ""
    print(f"The training would take about {minutes:.0f} minutes{parts}. Peak memory: {held}. Nothing was saved.")
    mean = sum(cost.steps * cost.step for cost in costs) / steps
    return {"minutes": minutes, "steps": steps, "seconds_per_step": mean, **memory}
