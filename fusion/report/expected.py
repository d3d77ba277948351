"""Compares the results with those that the recipe of the runs promises."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict

from streams.recipes.table import RECIPES, Recipe

# The split for which papers publish the results of single recipes.
_SPLIT = 1


class ExpectedRow(TypedDict):
    """A stream or a method: its published and its measured accuracy in percent, and whether they agree."""

    expected: float
    measured: float
    tolerance: float
    verdict: str


class Expectation(TypedDict):
    """The recipe by which all streams were trained, and the comparison with its figures."""

    recipe: str
    source: str
    changed: list[str]  # The options of the runs that differ from the recipe.
    rows: dict[str, ExpectedRow]


def expectation(data_set: str, split: int, measured: Mapping[str, float], models: Iterable[Path]) -> Expectation | None:
    """Returns the figures of the recipe that made all models; None if they are from several, or from other data.

    `measured` has video accuracies by stream and method.
    """
    described = [_described(model) for model in models]
    names = {str(each.get("options", {}).get("recipe", "")) for each in described}
    name = names.pop() if len(names) == 1 else ""
    recipe = RECIPES.get(name)
    if recipe is None or (recipe.dataset, _SPLIT) != (data_set, split):
        return None
    changed = sorted({option for each in described for option in each.get("recipe_says", {})})
    rows = {what: _row(recipe, what, 100 * share) for what, share in measured.items() if what in recipe.expected}
    return {"recipe": name, "source": recipe.source, "changed": changed, "rows": rows} if rows else None


def _row(recipe: Recipe, what: str, measured: float) -> ExpectedRow:
    difference = measured - recipe.expected[what]
    # Half a unit of the last digit that publications print.
    is_near = abs(difference) <= recipe.tolerance + 0.05
    as_known = "as estimated" if recipe.is_estimate else "as published"
    verdict = as_known if is_near else f"{abs(difference):.1f} points {'above' if difference > 0 else 'below'}"
    return {
        "expected": recipe.expected[what],
        "measured": measured,
        "tolerance": recipe.tolerance,
        "verdict": verdict,
    }


def _described(model: Path) -> dict[str, Any]:
    path = model.with_name("config.json")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # A model without its run was not made by a known recipe.
        return {}
    return found if isinstance(found, dict) else {}
