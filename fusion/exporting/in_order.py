"""Puts an ONNX graph into the order of its computation.

tf2onnx sorts nodes by their addresses, numbers those that it adds in that order, and keeps any of several equal nodes
and constants. Without this module, equal models would give files that differ.
"""

import copy
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto


def put_in_order(graph: "GraphProto") -> None:
    """Sorts the parts of a graph, and renames them accordingly; its inputs and outputs keep their names."""
    nodes = [copy.deepcopy(node) for node in _as_computed(graph)]
    constants = {each.name: each for each in graph.initializer}
    names = _names(nodes, constants.keys())
    names |= {each.name: each.name for each in (*graph.input, *graph.output)}
    _rename(nodes, names)
    kept = [copy.deepcopy(constants[name]) for name in names if name in constants]
    shapes = [copy.deepcopy(each) for each in graph.value_info]
    for each in (*kept, *shapes):
        each.name = names.get(each.name, each.name)
    shapes.sort(key=lambda each: each.name)
    for field, parts in ((graph.node, nodes), (graph.initializer, kept), (graph.value_info, shapes)):
        del field[:]
        field.extend(parts)


def _names(nodes: Iterable["NodeProto"], constants: Iterable[str]) -> dict[str, str]:
    """Numbers nodes of one name anew; returns the names of what they compute, and of the constants that they take.

    A constant is named after the node that takes it first.
    """
    names, counts, constants = dict[str, str](), Counter[str](), set(constants)
    for node in nodes:
        plain = re.sub(r"(_+\d+)+$", "", node.name)
        counts[plain] += 1
        node.name = plain if counts[plain] == 1 else f"{plain}_{counts[plain]}"
        for place, name in enumerate(_needed(node)):
            if name in constants:
                names.setdefault(name, f"{node.name}/{place}")
        names |= {name: f"{node.name}:{place}" for place, name in enumerate(node.output) if name}
    return names


def _as_computed(graph: "GraphProto") -> Iterator["NodeProto"]:
    """Yields the nodes that the outputs need, each after those that it needs itself."""
    maker = {name: node for node in graph.node for name in node.output}
    waiting = [(maker[each.name], False) for each in reversed(graph.output) if each.name in maker]
    seen: set[str] = set()
    while waiting:
        node, is_ready = waiting.pop()
        if is_ready:
            yield node
        elif node.output[0] not in seen:
            seen.add(node.output[0])
            waiting.append((node, True))
            waiting += [(maker[name], False) for name in reversed([*_needed(node)]) if name in maker]


def _needed(node: "NodeProto") -> Iterator[str]:
    """Yields what a node takes, and what the graphs within it take from around them."""
    yield from node.input
    for graph in _within(node):
        for inner in graph.node:
            yield from _needed(inner)


def _rename(nodes: Iterable["NodeProto"], names: Mapping[str, str]) -> None:
    for node in nodes:
        for values in (node.input, node.output):
            values[:] = [names.get(name, name) for name in values]
        for graph in _within(node):
            _rename(graph.node, names)


def _within(node: "NodeProto") -> Iterator["GraphProto"]:
    for attribute in node.attribute:
        yield from ([attribute.g] if attribute.HasField("g") else attribute.graphs)
