"""A network of both streams, as a class of its own that is a Keras model.

>>> from fusion import TwoStreamNetwork
>>> model = TwoStreamNetwork(num_classes=101)
>>> logits = model(rgb, flow, fusion="late")
"""

from collections.abc import Sequence
from pathlib import Path

import keras

from streams.networks.both_streams import late_scores, two_stream_network
from streams.networks.build import build_network
from streams.networks.preprocessing import Pixels


class TwoStreamNetwork(keras.Model):
    """Two networks from uint8 pixels to class scores, as one Keras model with the inputs `rgb` and `flow`.

    `fusion` is one of streams.config.FUSIONS; the paper uses `late`, the average of the softmax outputs. The model
    returns logits; their softmax is the fused probabilities.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        backbone: str = "vgg16",
        crop_size: int = 224,
        length: int = 10,
        fusion: str = "late",
        fuse_at: Sequence[str] = (),
    ) -> None:
        pixels = Pixels("rgb", 3, crop_size), Pixels("flow", 2 * length, crop_size)
        spatial, temporal = (build_network(backbone, each, num_classes) for each in pixels)
        joined = ":".join(["conv", *fuse_at]) if fusion == "conv" else fusion
        network = two_stream_network(num_classes, spatial=spatial, temporal=temporal, fusion=joined)
        super().__init__(network.input, network.output, name=network.name)
        self.fusion = fusion

    def __call__(self, *clips: keras.KerasTensor, fusion: str = "", **options: bool) -> keras.KerasTensor:
        """Returns the fused logits of `rgb` and `flow`, which are given in this order or as a dictionary."""
        inputs = dict(zip(("rgb", "flow"), clips, strict=True)) if len(clips) > 1 else clips[0]
        if fusion in ("", self.fusion):
            return super().__call__(inputs, **options)
        if "conv" in (fusion, self.fusion) or "concat" in (fusion, self.fusion):
            raise ValueError(
                f"This network fuses by {self.fusion}, and its layers are built for that. For {fusion}, build another: "
                f"TwoStreamNetwork(..., fusion={fusion!r})."
            )
        scores = [
            self.get_layer(name)(inputs[kind], **options) for name, kind in (("spatial", "rgb"), ("temporal", "flow"))
        ]
        return late_scores(scores, fusion)

    def save(self, filepath: str | Path, **options: bool) -> None:
        """Writes a file that plain Keras opens, without this class."""
        keras.Model(self.input, self.output, name=self.name).save(filepath, **options)
