"""Converts a model to LiteRT with its convolutions in 8 bits, and with all that 8 bits would ruin in float."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import tensorflow as tf
from tensorflow.lite.tools import flatbuffer_utils

if TYPE_CHECKING:
    from tensorflow.lite.python.schema_py_generated import ModelT, SubGraphT

# Layers that start a part of a network for which 8 bits are enough.
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_WITH_WEIGHTS = (*_CONVOLUTIONS, "FULLY_CONNECTED")
# What is computed in 8 bits if all that it takes is.
_IN_BETWEEN = (
    *("FULLY_CONNECTED", "ADD", "MUL", "PAD", "RELU", "RELU6", "HARD_SWISH", "LOGISTIC"),
    *("MAX_POOL_2D", "AVERAGE_POOL_2D", "RESHAPE", "CONCATENATION"),
)
# Of a deep network, one layer of so many stays float at the beginning, because all later layers repeat its errors. The
# first 3 of the 27 layers of MobileNet cause three quarters of the error of its logits, and take a tenth of the time.
_EARLY = 9


def with_int8(converter: tf.lite.TFLiteConverter) -> bytes:
    """Returns the model of a converter that has clips to find the ranges of numbers.

    Numbers of 8 bits have 256 values, evenly spaced. This suits convolutions, but not roots, logarithms and quotients,
    by which the recipe `own` measures motion: faint motion becomes 0. Nor does it suit the last layer and what fuses
    the streams, which cost nothing. These stay float.
    """
    options = tf.lite.experimental.QuantizationDebugOptions()
    debugger = tf.lite.experimental.QuantizationDebugger(converter=converter, debug_options=options)
    options.denylisted_nodes = results_in_float(debugger.calibrated_model)
    written: bytes = debugger.get_nondebug_quantized_model()
    return written


def results_in_float(content: bytes) -> list[str]:
    """Returns the names of the results that must stay float, in a LiteRT model whose numbers all are."""
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    names: set[str] = set()
    for graph in model.subgraphs:
        in_8_bits = _in_8_bits(model, graph)
        apart = (each for place, each in enumerate(graph.operators) if place not in in_8_bits)
        names.update(graph.tensors[result].name.decode() for each in apart for result in each.outputs)
    return sorted(names)


def _in_8_bits(model: "ModelT", graph: "SubGraphT") -> set[int]:
    """Returns the places of the operations in a graph that are computed in 8 bits."""
    kinds = [flatbuffer_utils.opcode_to_name(model, each.opcodeIndex) for each in graph.operators]
    constant = {number for number, each in enumerate(graph.tensors) if model.buffers[each.buffer].data is not None}
    chosen, results = set[int](), set[int]()
    for place, (before, after) in enumerate(_layers_around(graph, kinds)):
        operator = graph.operators[place]
        taken = set(operator.inputs) - constant - {-1}
        is_between = kinds[place] in _IN_BETWEEN and taken and taken <= results
        starts = kinds[place] in _CONVOLUTIONS and before >= (before + 1 + after) // _EARLY
        if after and (is_between or starts):
            chosen.add(place)
            results.update(operator.outputs)
    return chosen


def _layers_around(graph: "SubGraphT", kinds: Sequence[str]) -> list[tuple[int, int]]:
    """Returns for each operation how many layers with weights come before it, and how many after it."""
    weigh = [kind in _WITH_WEIGHTS for kind in kinds]
    before, after = list[int](), list[int]()
    to, since = defaultdict[int, int](int), defaultdict[int, int](int)
    for place, each in enumerate(graph.operators):
        before.append(max((to[taken] for taken in each.inputs), default=0))
        to.update(dict.fromkeys(each.outputs, before[-1] + weigh[place]))
    for place, each in reversed([*enumerate(graph.operators)]):
        after.append(max((since[result] for result in each.outputs), default=0))
        since.update({taken: max(since[taken], after[-1] + weigh[place]) for taken in each.inputs})
    return list(zip(before, reversed(after), strict=True))
