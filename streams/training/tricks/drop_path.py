"""Stochastic depth (Huang et al. 2016): whole residual branches are left out of some clips while a network learns."""

import keras
from keras import layers


def with_drop_path(network: keras.Model, share: float) -> keras.Model:
    """Returns a network of the same layers that drops residual branches: a `share` of the last, fewer of those before.

    The given network does not change. It shares its weights with the new one.
    """
    found = [operation for operation in network.operations if _adds_a_branch(operation)]
    inner = {each.name: _or_none(each, share) for each in network.layers if isinstance(each, keras.Model)}
    if not found and not any(inner.values()):
        raise ValueError(
            f"--drop-path skips residual blocks, but {network.name} has none. Drop it, or choose a --backbone "
            "such as resnet18 or mobilenet_v2."
        )
    rates = {add.name: share * number / len(found) for number, add in enumerate(found, 1)}
    # The longer path is the branch, the shorter one the shortcut.
    branches = {add.name: int(_depth(add.input[1]) > _depth(add.input[0])) for add in found}

    def call(operation: keras.Operation, *inputs: object, **options: object) -> object:
        if operation.name not in rates:
            return operation(*inputs, **options)
        sides, branch = list(inputs[0]), branches[operation.name]  # type: ignore[call-overload]
        drop = layers.Dropout(rates[operation.name], (None, 1, 1, 1), name=f"{operation.name}_drop_path")
        sides[branch] = drop(sides[branch])
        return operation(sides)

    def same(operation: keras.Operation) -> keras.Operation:
        return inner.get(operation.name) or operation

    inputs = keras.tree.map_structure(
        lambda each: keras.Input(each.shape[1:], dtype=each.dtype, name=each.name), network.input
    )
    outputs = network._run_through_graph(inputs, operation_fn=same, call_fn=call)
    return keras.Model(inputs, outputs, name=network.name)


def _or_none(network: keras.Model, share: float) -> keras.Model | None:
    try:
        return with_drop_path(network, share)
    except ValueError:
        return None


def _adds_a_branch(operation: keras.Operation) -> bool:
    """Tells whether an operation adds two maps of one shape."""
    if not isinstance(operation, layers.Add):
        return False
    sides = operation.input
    return len(sides) == 2 and len(sides[0].shape) == 4 and sides[0].shape == sides[1].shape


def _depth(tensor: keras.KerasTensor) -> int:
    """Returns the number of operations between the input and a tensor, on the longest path."""
    depths: dict[int, int] = {}
    waiting = [tensor]
    while waiting:
        last = waiting[-1]
        history = last._keras_history
        before = history.operation._inbound_nodes[history.node_index].input_tensors
        unknown = [each for each in before if id(each) not in depths]
        if unknown:
            waiting += unknown
        else:
            depths[id(last)] = 1 + max((depths[id(each)] for each in before), default=-1)
            waiting.pop()
    return depths[id(tensor)]
