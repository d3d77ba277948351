"""Puts an ONNX graph into the order of its computation.

tf2onnx leaves nodes in the order of their addresses, and of equal constants it keeps any. So equal models would give
files that differ.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto


def put_in_order(graph: "GraphProto") -> None:
    """Sorts what a graph holds, and names constants after the node that needs them first."""
    nodes = [copy.deepcopy(node) for node in _as_computed(graph)]
    constants = {each.name: each for each in graph.initializer}
    names: dict[str, str] = {}
    for node in nodes:
        for place, name in enumerate(_needed(node)):
            if name in constants:
                names.setdefault(name, f"{node.name}/{place}")
    _rename(nodes, names)
    kept = [copy.deepcopy(constants[name]) for name in names]
    shapes = [copy.deepcopy(each) for each in graph.value_info]
    for each in (*kept, *shapes):
        each.name = names.get(each.name, each.name)
    for field, parts in (
        (graph.node, nodes),
        (graph.initializer, kept),
        (graph.value_info, sorted(shapes, key=lambda each: each.name)),
    ):
        del field[:]
        field.extend(parts)


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
        node.input[:] = [names.get(name, name) for name in node.input]
        for graph in _within(node):
            _rename(graph.node, names)


def _within(node: "NodeProto") -> Iterator["GraphProto"]:
    for attribute in node.attribute:
        yield from ([attribute.g] if attribute.HasField("g") else attribute.graphs)
