"""Sets what came out beside what the recipe of the runs says should come out."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict

from streams.recipes.table import RECIPES, Recipe

# The split that published figures of single recipes are of.
_SPLIT = 1


class ExpectedRow(TypedDict):
    """A stream or a method: what was published and measured, in percent, and whether both agree."""

    expected: float
    measured: float
    tolerance: float
    verdict: str


class Expectation(TypedDict):
    """The recipe that all streams were trained by, and what became of its figures."""

    recipe: str
    source: str
    changed: list[str]  # Options by which the runs depart from it.
    rows: dict[str, ExpectedRow]


def expectation(data_set: str, split: int, measured: Mapping[str, float], models: Iterable[Path]) -> Expectation | None:
    """Returns the figures of the one recipe that made all models; none where these are not of its data.

    `measured` are video accuracies by stream and method.
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
    # Half of the last digit that publications print.
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
    except (OSError, ValueError):  # A model that lies alone was made by no recipe that is known.
        return {}
    return found if isinstance(found, dict) else {}
