"""The table of recipes: the options of published trainings and their published results."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Recipe:
    """A published training of one stream or both: its source, its options and its results."""

    source: str
    dataset: str = "ucf101"
    spatial: Options | None = None  # Options of spatial/train.py. None if the recipe has no spatial stream.
    temporal: Options | None = None
    expected: Mapping[str, float] = field(default_factory=dict)  # Percent of split 1's test videos, by stream.
    tolerance: float = 1.5  # Points by which a faithful run may differ: on splits so small, chance has this effect.
    fusion: str = ""  # Options of fusion/evaluate.py: the fusion method and the positions of views in the publication.
    needs: Mapping[str, str] = field(default_factory=dict)  # Options that a stream needs besides the recipe.
    is_estimate: bool = False  # Whether the expected results are estimates, because nobody has published any.

    def options(self, stream: str) -> Options:
        """Returns the options of one stream."""
        found: Options | None = getattr(self, stream, None)
        if found is None:
            raise ValueError(f"This recipe has no {stream} stream; it is from {self.source}.")
        return {"dataset": self.dataset, **found}

    @property
    def is_test_selected(self) -> bool:
        """Tells whether the published weights were selected on the test list, which makes their results too good."""
        return any(stream and stream.get("protocol") == "test-selected" for stream in (self.spatial, self.temporal))

    def commands(self, name: str) -> list[str]:
        """Returns the commands that repeat it, without those that prepare the data."""
        streams = [stream for stream in ("spatial", "temporal") if getattr(self, stream) is not None]
        commands = [f"./run train {stream} --recipe {name} {self.needs.get(stream, '')}" for stream in streams]
        chosen = self.fusion if len(streams) == 2 else f"--stream {streams[0]} --method average"
        commands.append(f"./run evaluate --dataset {self.dataset} {chosen}")
        return [command.rstrip() for command in commands]


# From scratch, the rate falls to a tenth after 50k and 70k of 80k steps; in fine-tuning after 14k of 20k (Sec. 5).
_SCRATCH = {"steps": 80_000, "schedule": "step", "milestones": (50_000, 70_000)}
_FINETUNE = {"steps": 20_000, "schedule": "step", "milestones": (14_000,)}
_PAPER = {
    "backbone": "cnn_m_2048",
    "crop_size": 224,
    "batch_size": 256,
    "optimizer": "sgd",
    "momentum": 0.9,
    "learning_rate": 1e-2,
    "augment": "paper",
    "balance": True,
    "protocol": "paper",
    "dropout": 0.9,
}
_FLOW = {**_PAPER, **_SCRATCH, "input": "flow", "length": 10}
_HALF = {"dropout": 0.5}
_LAST = {**_PAPER, **_FINETUNE, "train": "last-layer"}
_GIVEN = {"spatial": "--weights FILE"}  # A file of CNN-M trained on ImageNet, which Keras does not offer.

# Keras does not scale weight decay by the momentum. So 5e-4 in the gradient has the effect of 5e-4 / (1 - .9).
_DECAY = 5e-3
_DEEP = {
    "crop_size": 224,
    "batch_size": 256,
    "optimizer": "sgd",
    "momentum": 0.9,
    "weight_decay": _DECAY,
    "schedule": "step",
    "augment": "multi-scale",
    "protocol": "paper",
    "weights": "imagenet",
}
_VERY_DEEP = {**_DEEP, "backbone": "vgg16", "dense_dropout": 0.9}
_SG3I = {
    **_HALF,
    "backbone": "resnet50",
    "crop_size": 224,
    "weights": "imagenet",
    "augment": "corners",
    "learning_rate": 1e-4,
}
_TSN = {**_DEEP, "backbone": "bn_inception", "segments": 3, "freeze_bn": "all-but-first"}

# Temporal shift (Lin et al. 2019) as its authors trained it for UCF-101, plus later published methods that helped there
# or on ImageNet. docs/training/tricks.md has the source of each option.
_MODERN = {
    "backbone": "resnet50",
    "shift": 0.125,
    "length": 8,
    "crop_size": 224,
    "weights": "imagenet",
    "batch_size": 64,
    "epochs": 50,
    "optimizer": "sgd",
    "momentum": 0.9,
    "learning_rate": 1e-2,
    "rate_batch": 64,
    "weight_decay": _DECAY,
    "clip_norm": 20.0,
    "schedule": "cosine",
    "warmup": 5.0,
    "dropout": 0.8,
    "augment": "multi-scale",
    "vary": ("random", "mixup"),
    "label_smoothing": 0.1,
    "protocol": "paper",
}
_MODERN_STREAMS: Mapping[str, Any] = {
    "spatial": {**_MODERN, "input": "rgb_spread"},
    "temporal": {**_MODERN, "input": "flow_stacks"},
    "fusion": "--method weighted-logits:1,1.5",
    "tolerance": 3.0,
    "is_estimate": True,
}

# The classes of UCF-101 that HMDB-51 has too. The paper found 78 that it lacks, but did not print them.
_IN_HMDB51 = (
    "Archery", "Basketball", "BasketballDunk", "Biking", "BoxingPunchingBag", "BoxingSpeedBag", "CliffDiving", "Diving",
    "Fencing", "FloorGymnastics", "FrisbeeCatch", "GolfSwing", "HandstandPushups", "HandstandWalking", "HorseRiding",
    "PullUps", "Punch", "PushUps", "RockClimbingIndoor", "RopeClimbing", "SoccerPenalty", "WalkingWithDog",
    "WallPushups",
)  # fmt: skip

# The paper averages softmax scores over frames, crops and streams. Its SVM learns from the same scores (Sec. 5, 6).
_AVERAGE = "--method average-views"
_SVM = f"{_AVERAGE} --method svm --fit train"

_TABLE_1A, _TABLE_1B, _TABLE_2, _TABLE_3 = (
    f"Simonyan and Zisserman 2014, Table {row}" for row in ("1a", "1b", "2", "3")
)

RECIPES: dict[str, Recipe] = {
    "paper": Recipe(
        _TABLE_3,
        spatial={**_LAST, **_HALF},
        temporal=_FLOW,
        expected={"spatial": 72.7, "temporal": 81.0, "average-views": 85.9},
        fusion=_AVERAGE,
        needs=_GIVEN,
    ),
    "paper-scratch": Recipe(_TABLE_1A, spatial={**_PAPER, **_SCRATCH}, expected={"spatial": 52.3}),
    "paper-scratch-half": Recipe(_TABLE_1A, spatial={**_PAPER, **_SCRATCH, **_HALF}, expected={"spatial": 42.5}),
    "paper-finetune": Recipe(_TABLE_1A, spatial={**_PAPER, **_FINETUNE}, expected={"spatial": 72.8}, needs=_GIVEN),
    "paper-finetune-half": Recipe(
        _TABLE_1A, spatial={**_PAPER, **_FINETUNE, **_HALF}, expected={"spatial": 70.8}, needs=_GIVEN
    ),
    "paper-last-layer": Recipe(_TABLE_1A, spatial={**_LAST, **_HALF}, expected={"spatial": 72.7}, needs=_GIVEN),
    "paper-last-layer-high": Recipe(_TABLE_1A, spatial=_LAST, expected={"spatial": 59.9}, needs=_GIVEN),
    "paper-flow-1": Recipe(_TABLE_1B, temporal={**_FLOW, "length": 1}, expected={"temporal": 73.9}),
    "paper-flow-5": Recipe(_TABLE_1B, temporal={**_FLOW, "length": 5}, expected={"temporal": 80.4}),
    "paper-flow-10": Recipe(_TABLE_1B, temporal=_FLOW, expected={"temporal": 81.0}),
    "paper-no-mean": Recipe(_TABLE_1B, temporal={**_FLOW, "subtract_mean": False}, expected={"temporal": 79.9}),
    "paper-trajectory": Recipe(_TABLE_1B, temporal={**_FLOW, "input": "trajectory"}, expected={"temporal": 80.2}),
    "paper-trajectory-no-mean": Recipe(
        _TABLE_1B, temporal={**_FLOW, "input": "trajectory", "subtract_mean": False}, expected={"temporal": 79.6}
    ),
    "paper-bidirectional": Recipe(
        f"{_TABLE_1B}; fused, Table 3",
        spatial={**_LAST, **_HALF},
        temporal={**_FLOW, "input": "bidirectional"},
        expected={"spatial": 72.7, "temporal": 81.2, "average-views": 85.6},
        fusion=_AVERAGE,
        needs=_GIVEN,
    ),
    "paper-hmdb51-scratch": Recipe(_TABLE_2, "hmdb51", temporal=_FLOW, expected={"temporal": 46.6}, tolerance=2.5),
    "paper-hmdb51-finetune": Recipe(
        _TABLE_2,
        "hmdb51",
        temporal={**_FLOW, **_FINETUNE},
        expected={"temporal": 49.0},
        tolerance=2.5,
        needs={"temporal": "--weights runs/ucf101/temporal/split1/model.keras"},
    ),
    "paper-hmdb51-joined": Recipe(
        _TABLE_2,
        "hmdb51",
        temporal={**_FLOW, "and_dataset": "ucf101", "and_joined": True, "and_without": _IN_HMDB51},
        expected={"temporal": 52.8},
        tolerance=2.5,
    ),
    "paper-hmdb51-multi-task": Recipe(
        _TABLE_2, "hmdb51", temporal={**_FLOW, "and_dataset": "ucf101"}, expected={"temporal": 55.4}, tolerance=2.5
    ),
    "paper-multi-task": Recipe(
        f"{_TABLE_3}; the temporal stream, Sec. 6",
        spatial={**_LAST, **_HALF},
        temporal={**_FLOW, "and_dataset": "hmdb51"},
        expected={"spatial": 72.7, "temporal": 81.5, "average-views": 86.2, "svm": 87.0},
        fusion=_SVM,
        needs=_GIVEN,
    ),
    "very-deep": Recipe(
        "Wang et al. 2015, Towards Good Practices for Very Deep Two-Stream ConvNets",
        spatial={**_VERY_DEEP, "learning_rate": 1e-3, "steps": 10_000, "milestones": (4_000, 8_000), "dropout": 0.9},
        temporal={
            **_VERY_DEEP,
            "learning_rate": 5e-3,
            "steps": 30_000,
            "milestones": (10_000, 20_000),
            "dropout": 0.8,
            "input": "flow",
            "length": 10,
        },
        expected={"spatial": 79.8, "temporal": 85.7, "weighted:1,2": 90.9},
        fusion="--method weighted:1,2",
        tolerance=1.0,
    ),
    "tsn": Recipe(
        "Wang et al. 2016, Temporal Segment Networks",
        spatial={
            **_TSN,
            "learning_rate": 1e-3,
            "steps": 4_500,
            "milestones": (2_000, 4_000),
            "dropout": 0.8,
            "clip_norm": 40.0,
        },
        temporal={
            **_TSN,
            "learning_rate": 5e-3,
            "steps": 20_000,
            "milestones": (12_000, 18_000),
            "dropout": 0.7,
            "clip_norm": 20.0,
            "first_layer_rate": 5.0,
            "input": "flow",
            "length": 5,
        },
        expected={"spatial": 85.7, "temporal": 87.9, "weighted-logits:1,1.5": 93.5},
        fusion="--method weighted-logits:1,1.5 --sampling middles",
        tolerance=1.0,
        needs={"spatial": "--weights FILE", "temporal": "--weights FILE"},
    ),
    "modern": Recipe(
        "this project, from what was published until 2021 for weights of ImageNet alone; nobody has trained just this",
        expected={"spatial": 86.0, "temporal": 89.0, "weighted-logits:1,1.5": 95.0},
        **_MODERN_STREAMS,
    ),
    "modern-hmdb51": Recipe(
        "the same on HMDB-51",
        "hmdb51",
        expected={"spatial": 54.0, "temporal": 63.0, "weighted-logits:1,1.5": 70.0},
        **_MODERN_STREAMS,
    ),
    "keras-2019": Recipe(
        "Dong 2019, two-stream-action-recognition-keras",
        spatial={
            **_HALF,
            "backbone": "inception_v3",
            "crop_size": 224,
            "weights": "imagenet",
            "augment": "corners",
            "stage": ("last-layer:10:rmsprop:1e-3", "after-mixed8:10:sgd:1e-4"),
            "protocol": "test-selected",
        },
        temporal={
            **_FLOW,
            "backbone": "cnn_m_2048_bn",
            "batch_size": 64,
            "augment": "corners",
            "balance": False,
            "steps": None,
            "epochs": 2_222,
            "milestones": (1_389, 1_944),
            "protocol": "test-selected",
        },
        expected={"spatial": 73.1, "temporal": 78.8, "average": 82.0},
        fusion="--method average",
    ),
    "sg3i": Recipe(
        "Kim and Won 2020, Action Recognition in Videos Using Pre-Trained 2D Convolutional Neural Networks",
        "hmdb51",
        spatial=_SG3I,
        temporal={**_SG3I, "input": "sg3i", "length": 3},
    ),
    "ccv": Recipe(
        "Video-Classification-2-Stream-CNN, which published no figures",
        "ccv",
        spatial={
            **_HALF,
            "backbone": "vgg16",
            "crop_size": 224,
            "weights": "imagenet",
            "learning_rate": 1e-3,
            "optimizer": "sgd",
        },
        temporal={**_FLOW, "balance": False, "protocol": "validation"},
    ),
    "resnet18": Recipe(
        "two-stream projects for teaching, which published no figures",
        spatial={"backbone": "resnet18", "crop_size": 224, "epochs": 25, "batch_size": 64, "learning_rate": 1e-4}
        | {"weight_decay": 1e-2, **_HALF},
        temporal={"backbone": "resnet18", "crop_size": 224, "epochs": 25, "batch_size": 8, "learning_rate": 1e-4}
        | {"weight_decay": 1e-2, "input": "flow", "length": 10, **_HALF},
    ),
    "shapes": Recipe("this project: the defaults, made for the built-in data set", "shapes", spatial={}, temporal={}),
}
