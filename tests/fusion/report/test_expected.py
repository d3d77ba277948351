"""The expected results of a recipe beside the measured ones: in numbers, printed, on the page, in the results table."""

import json

import pytest

from benchmarks.accuracy import recipes
from fusion.report.expected import expectation
from fusion.report.page import page
from fusion.report.printed import print_expected
from streams.recipes.table import RECIPES
from tests.fusion.report.test_report_page import Elements, made


def models_of(folder, *recipes_of_streams, says=None):
    """Models whose configurations name recipes."""
    for number, recipe in enumerate(recipes_of_streams):
        place = folder / str(number)
        place.mkdir(parents=True)
        described = {"options": {"recipe": recipe}, "recipe_says": says or {}}
        (place / "config.json").write_text(json.dumps(described))
        yield place / "model.keras"


def test_each_figure_of_the_recipe_has_its_verdict(tmp_path):
    measured = {"spatial": 0.857, "temporal": 0.841, "weighted-logits:1,1.5": 0.952, "average": 0.9}

    found = expectation("ucf101", 1, measured, models_of(tmp_path, "tsn", "tsn"))

    assert found["recipe"] == "tsn"
    assert found["changed"] == []
    assert {name: row["verdict"] for name, row in found["rows"].items()} == {
        "spatial": "as published",
        "temporal": "3.8 points below",
        "weighted-logits:1,1.5": "1.7 points above",
    }
    assert found["rows"]["temporal"]["expected"] == RECIPES["tsn"].expected["temporal"]
    assert found["rows"]["temporal"]["tolerance"] == RECIPES["tsn"].tolerance


@pytest.mark.parametrize(
    ("data_set", "split", "recipes_of_streams"),
    [("hmdb51", 1, ["tsn"]), ("ucf101", 2, ["tsn"]), ("ucf101", 1, ["tsn", "paper"]), ("ucf101", 1, ["own", "own"])],
)
def test_nothing_is_expected_of_other_data_or_of_two_recipes(data_set, split, recipes_of_streams, tmp_path):
    assert expectation(data_set, split, {"spatial": 0.8}, models_of(tmp_path, *recipes_of_streams)) is None


def test_a_model_without_a_configuration_is_of_no_recipe(tmp_path):
    assert expectation("ucf101", 1, {"spatial": 0.8}, [tmp_path / "model.keras"]) is None


def test_what_is_expected_is_printed_and_on_the_page(tmp_path, capsys):
    report, evidence, fused = made({"spatial": 2, "temporal": 2})
    models = models_of(tmp_path, "paper", "paper", says={"batch_size": 256})
    report["expected"] = expectation("ucf101", 1, {"spatial": 0.731, "temporal": 0.7}, models)

    print_expected(report["expected"])
    text = Elements(page(report, evidence, fused, [], {})).text

    printed = " ".join(capsys.readouterr().out.split())
    for words in ("11.0 points below", "as published", "± 1.5", "batch_size"):
        assert words in printed
        assert words in text
    assert "Expected by the recipe paper" in text


def report_of(folder, expected, commit="abc123"):
    folder.mkdir(parents=True)
    evaluated = {"commit": commit, "machine": "2 x processor, Linux", "date": "2026-01-02"}
    (folder / "report.json").write_text(json.dumps({"expected": expected, "evaluated": evaluated}))


def test_rows_are_filled_from_reports_and_from_nothing_else(tmp_path, capsys):
    table, before = tmp_path / "results.md", recipes._RESULTS.read_text()
    table.write_text(before)
    sound = expectation("ucf101", 1, {"spatial": 0.85, "temporal": 0.88}, models_of(tmp_path / "tsn", "tsn"))
    changed = expectation("ucf101", 1, {"temporal": 0.8}, models_of(tmp_path / "paper", "paper", says={"seed": 0}))
    dirty = expectation("ucf101", 1, {"temporal": 0.8}, models_of(tmp_path / "flow", "paper-flow-5"))
    report_of(tmp_path / "runs" / "a" / "fusion" / "split1", sound)
    report_of(tmp_path / "runs" / "b" / "fusion" / "split1", changed)
    report_of(tmp_path / "runs" / "c" / "fusion" / "split1", dirty, commit="abc-dirty")
    report_of(tmp_path / "runs" / "d" / "fusion" / "split1", None)

    recipes.main(["--runs", str(tmp_path / "runs"), "--table", str(table)])

    new = dict(zip(before.splitlines(), table.read_text().splitlines(), strict=True))
    (filled,) = [line for old, line in new.items() if line != old]
    assert filled.startswith("| `tsn` | Wang et al. 2016")
    assert "spatial 85.0 % (as published), temporal 88.0 % (as published)" in filled
    assert "`./run train spatial --recipe tsn" in filled
    assert filled.endswith("commit abc123, 2 x processor, Linux, 2026-01-02 |")
    printed = capsys.readouterr().out
    assert "fills no row: the runs depart from the recipe by seed" in printed
    assert "fills no row: its commit is abc-dirty" in printed


def test_a_recipe_without_a_row_is_named():
    with pytest.raises(ValueError, match="no row of tsn"):
        recipes.filled("| `paper` | a | b | |\n", {"tsn": "85 %"})
