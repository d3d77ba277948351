"""Recipes: defaults that can be read, run and departed from."""

import dataclasses
import json
from pathlib import Path

import pytest

from benchmarks.accuracy.levers_tables import TABLES
from commands.options import as_dictionary, parse
from fusion.evaluate import EvaluateConfig
from fusion.methods.table import LEARNED
from pipelines.inputs import FRAME_KINDS, KINDS
from spatial.train import SpatialConfig
from spatial.train import main as train_spatial
from streams.command import training_options
from streams.networks.backbones.table import BACKBONES
from streams.recipes.chosen import departures, listing, recipe_presets
from streams.recipes.table import RECIPES
from streams.runs.run_folder import Run, stages_of
from temporal.train import TemporalConfig
from temporal.train import main as train_temporal

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "background" / "results.md"
CONFIGS = {"spatial": SpatialConfig, "temporal": TemporalConfig}
EVERY = [
    (name, stream) for name, recipe in RECIPES.items() for stream in CONFIGS if getattr(recipe, stream) is not None
]


@pytest.mark.parametrize(("name", "stream"), EVERY)
def test_every_recipe_is_made_of_options_that_there_are(name, stream):
    options = RECIPES[name].options(stream)

    config = CONFIGS[stream](recipe=name, **options)

    assert config.backbone in BACKBONES
    assert config.input in (FRAME_KINDS if stream == "spatial" else KINDS)
    assert config.crop_size >= BACKBONES[config.backbone].smallest
    assert departures(name, stream, as_dictionary(config)) == {}


def test_every_row_of_the_papers_tables_has_a_recipe():
    expected = [
        value for name, recipe in RECIPES.items() if name.startswith("paper") for value in recipe.expected.values()
    ]

    table_1a, table_1b = {42.5, 52.3, 70.8, 72.8, 72.7, 59.9}, {73.9, 80.4, 79.9, 81.0, 79.6, 80.2, 81.2}
    table_2, table_3 = {46.6, 49.0, 52.8, 55.4}, {85.6, 85.9, 86.2, 87.0}
    assert table_1a | table_1b | table_2 | table_3 <= set(expected)


def test_the_paper_added_78_classes_of_ucf101_to_hmdb51():
    assert 101 - len(set(RECIPES["paper-hmdb51-joined"].temporal["and_without"])) == 78


def test_what_is_typed_overrides_the_recipe_and_is_recorded():
    argv = [
        "--recipe",
        "tsn",
        "--batch-size",
        "64",
        "--milestones",
        "100",
        "--milestones",
        "200",
        "--freeze-bn",
        "none",
    ]

    config = parse(TemporalConfig, argv, "", **recipe_presets(argv, "temporal"))

    assert (config.batch_size, config.milestones, config.freeze_bn, config.length) == (64, (100, 200), "none", 5)
    assert departures("tsn", "temporal", as_dictionary(config)) == {
        "batch_size": 256, "freeze_bn": "all-but-first", "milestones": (12_000, 18_000),
    }  # fmt: skip


def test_all_recipes_are_listed_with_their_commands_and_figures(capsys):
    with pytest.raises(SystemExit) as ended:
        train_spatial(["--recipe", "list"])

    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert all(f"--recipe {name}" in printed for name in RECIPES)
    assert "spatial 73.1 %, temporal 78.8 %, average 82 %" in printed


@pytest.mark.parametrize(
    ("main", "name", "said"),
    [(train_spatial, "tns", "no recipe 'tns'"), (train_temporal, "paper-scratch", "no temporal")],
)
def test_a_recipe_that_is_not_there_ends_with_2(main, name, said, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--recipe", name])

    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if recipe.fusion])
def test_recipes_fuse_as_their_publication_did(name):
    recipe = RECIPES[name]

    config = parse(EvaluateConfig, ["--dataset", recipe.dataset, *recipe.fusion.split()], "")

    fused = set(recipe.expected) - {"spatial", "temporal"}
    assert fused == set(config.method)
    assert not any(method in LEARNED for method in config.method) or config.fit == "train"


def test_temporal_segments_are_trained_and_tested_as_published():
    recipe = RECIPES["tsn"]

    assert recipe.fusion == "--method weighted-logits:1,1.5 --sampling middles"
    assert recipe.spatial["augment"] == recipe.temporal["augment"] == "multi-scale"
    assert RECIPES["very-deep"].temporal["augment"] == "multi-scale"


def test_stages_go_on_from_each_other(tmp_path):
    config = SpatialConfig(**RECIPES["keras-2019"].options("spatial"))

    (first, first_place), (second, second_place) = stages_of(config, Run(tmp_path))

    assert (first.train, first.optimizer, first.weights, first.epochs) == ("last-layer", "rmsprop", "imagenet", 10)
    assert (second.train, second.learning_rate) == ("after-mixed8", 1e-4)
    assert second.weights == str(first_place.model)
    assert second_place == Run(tmp_path)
    assert json.dumps(second.identity())


def test_recipes_are_not_changed_by_those_who_read_them():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RECIPES["tsn"].dataset = "own"


def test_every_recipe_has_its_row_in_the_results():
    rows = {line.split("`")[1]: line for line in RESULTS.read_text().splitlines() if line.startswith("| `")}

    for name, recipe in RECIPES.items():
        assert all(f"{what} {percent:g} %" in rows[name] for what, percent in recipe.expected.items())
        assert ("selected on the test list" in rows[name]) == recipe.is_test_selected
        assert ("selected on the test list" in recipe_described(name)) == recipe.is_test_selected


def recipe_described(name):
    return next(each for each in listing().split("\n\n") if each.startswith(f"{name}  "))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.title)
def test_every_row_of_a_measured_table_is_another_training(table):
    kind = CONFIGS[table.stream]

    rows = [training_options(kind, [*table.options, *words], "", table.stream) for words in table.rows.values()]

    assert not [row for number, row in enumerate(rows) if row in rows[:number]]
