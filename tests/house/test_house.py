"""The house stays as it is built: the way through a training, the order of the rooms, and the figures of both.

`python benchmarks/house.py --where` prints what is counted here, place by place.
"""

import ast

import pytest

from benchmarks.house import (
    PROJECT,
    ROOMS,
    SPINE,
    circles_of,
    entered_lines,
    figures_of_source,
    import_graph,
    imports_in,
    modules,
    tree_of,
)
from benchmarks.house_trace import trace_training

# The most lines of functions that a training may enter in the files of SPINE.
SPINE_LINES = 900
# The most functions between the user and Keras' fit, main among them.
HOPS = 3
# What else is entered on the way to `fit`, and why a reader who follows one training may pass it by.
BESIDE = {
    "options and errors": ("commands/files.py", "commands/options.py", "commands/running.py"),
    "the data set and its lists": (
        "data/catalog.py",
        "data/ready.py",
        "data/sets/lists.py",
        "data/sets/ucf101.py",
        "data/store/index.py",
    ),
    "details of a clip": (
        "pipelines/augment.py",
        "pipelines/decode.py",
    ),
    "options of some trainings": (
        "streams/networks/start.py",
        "streams/checks.py",
        "streams/tricks.py",
        "streams/recipes/chosen.py",
    ),
    "around the steps": (
        "streams/runs/model_file.py",
        "streams/runs/run_folder.py",
        "streams/training/around_steps.py",
        "streams/training/devices.py",
        "streams/training/first_batch.py",
        "streams/training/progress.py",
        "streams/training/records.py",
        "streams/training/stage.py",
    ),
}

# A module may import those of its own row's name and of all rows above, never one below or beside it. A name stands for
# a module or a folder; the longest one that fits says where a module belongs.
ORDER = (
    ("commands",),
    ("data.catalog",),
    ("data.optical_flow",),
    ("data.store",),
    ("data.extraction",),
    ("data.sets", "data.audit"),
    ("data",),
    ("pipelines",),
    ("streams.checks", "streams.tricks"),
    ("streams.config",),
    ("streams.hosts",),
    ("streams.weights",),
    ("streams.recipes", "streams.runs"),
    ("streams.networks",),
    ("streams.last_layer",),
    ("streams.training",),
    ("streams",),
    ("spatial", "temporal", "fusion"),
)
# Circles that are still there.
CIRCLES: list[set[str]] = []
# The most that each figure may be; what is wanted is in benchmarks/house.py.
MOST = {
    "functions over 40 lines": 0,
    "signatures over 7 parameters": 0,
    "parameters that are bare Any": 10,
    "own imports inside functions": 15,
    "names in the fullest folder": 18,
}


@pytest.fixture(scope="module")
def trace():
    """What a tiny training of the temporal stream enters."""
    return trace_training()


@pytest.fixture(scope="module")
def figures():
    """What benchmarks/house.py counts in the source, by name."""
    return {figure.name: figure for figure in figures_of_source()}


def test_a_training_enters_no_unknown_file_on_its_way_to_fit(trace):
    known = {*SPINE, *(file for files in BESIDE.values() for file in files)}

    unknown = entered_lines(trace.before_fit).keys() - known

    assert not unknown, (
        f"On its way to fit a training enters {sorted(unknown)}. If a reader needs it to follow a training, it belongs "
        "in SPINE of benchmarks/house.py; if not, in BESIDE. Better: do without it."
    )


def test_the_spine_of_a_training_does_not_grow(trace):
    entered = entered_lines(trace.whole)

    assert not set(SPINE) - entered.keys(), "SPINE names files that a training does not enter."
    assert sum(entered[file] for file in SPINE) <= SPINE_LINES


def test_few_functions_lead_from_main_to_fit(trace):
    assert trace.way_to_fit[0] == "temporal/train.py main"
    assert len(trace.way_to_fit) <= HOPS


def room_of(module):
    """The longest name of ORDER that a module belongs to, and the number of its row."""
    fitting = [(name, row) for row, names in enumerate(ORDER) for name in names if f"{module}.".startswith(f"{name}.")]
    assert fitting, f"{module} is in no room of ORDER."
    return max(fitting, key=lambda found: len(found[0]))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_the_rooms_before_it(room):
    wrong = [
        f"{path.relative_to(PROJECT)}:{line} imports {imported}"
        for module, path in modules().items()
        if module.split(".")[0] == room
        for line, imported in imports_in(tree_of(path))
        if room_of(imported) != room_of(module) and room_of(imported)[1] >= room_of(module)[1]
    ]

    assert not wrong, "\n".join(wrong)


def test_no_import_is_relative():
    for path in modules().values():
        for node in ast.walk(tree_of(path)):
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}:{node.lineno}"


def test_no_module_imports_itself_by_way_of_others():
    new = [circle for circle in circles_of(import_graph()) if circle not in CIRCLES]

    assert not new, f"These modules import each other, at their top, in a function or for types: {new}"


@pytest.mark.parametrize("name", MOST)
def test_a_figure_gets_no_worse(name, figures):
    assert figures[name].now[0] <= MOST[name], "\n".join(figures[name].places)


def test_circles_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"a"}}

    assert circles_of(graph) == [{"b", "c"}]
