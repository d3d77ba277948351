"""Where a training stands, for all that happens around its steps."""

from dataclasses import dataclass, field

import keras

from pipelines.drawing import Skipped
from streams.config import TrainConfig
from streams.runs.run_folder import Run
from streams.training.checkpoints import Checkpoints, Progress
from streams.training.machines import Together
from streams.training.schedules import Rate, should_stop


@dataclass
class Course:
    """Where a training stands: its options and its place, how far it is, and what of it is saved."""

    config: TrainConfig
    run: Run
    steps_per_epoch: int
    rate: Rate
    progress: Progress = field(default_factory=Progress)
    saved_step: int = 0  # The last step that was saved.
    finite_step: int = 0  # The last step whose loss was looked at.
    validating: bool = False

    @classmethod
    def of(cls, config: TrainConfig, run: Run, steps_per_epoch: int) -> "Course":
        """Returns the course of a training at its start."""
        epochs, steps = config.extent(steps_per_epoch)
        return cls(config, run, steps, Rate(config, steps, config.steps or epochs * steps))

    @property
    def epochs(self) -> int:
        """How many epochs the training has."""
        return self.config.extent(self.steps_per_epoch)[0]

    @property
    def epoch(self) -> int:
        """How many epochs are through, validation included."""
        return len(self.progress.history)

    @property
    def step_of_epoch(self) -> int:
        """How many steps of the present epoch are done."""
        return self.progress.step - self.epoch * self.steps_per_epoch

    @property
    def is_within_validation(self) -> bool:
        """Tells whether all steps of the present epoch are done, and its validation is not."""
        return self.step_of_epoch == self.steps_per_epoch

    @property
    def is_done(self) -> bool:
        """Tells whether all epochs are through, or as many as were of use."""
        return self.epoch >= self.epochs or should_stop(self.progress.history, self.config.patience)

    def start(self, checkpoints: Checkpoints, together: Together, model: keras.Model, skipped: Skipped | None) -> None:
        """Sets the model to where an earlier training left off, and what was skipped to what it had skipped."""
        if self.config.resume and not self.config.again:
            self.progress = checkpoints.restore(model, together.check_step)
        else:
            together.check_step(0)
        if skipped is not None:
            skipped |= self.progress.skipped
            self.progress.skipped = skipped
        self.saved_step = self.finite_step = self.progress.step
