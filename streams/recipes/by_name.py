"""Recipes by name: published trainings, to be run, departed from and compared with."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from streams.recipes.automatic import OWN_RECIPES, automatic_options
from streams.recipes.table import RECIPES, Options, Recipe


def recipe_named(name: str) -> Recipe:
    """Returns a recipe, or says which there are."""
    if name not in RECIPES:
        raise ValueError(f"There is no recipe {name!r}. Choose one of {', '.join(RECIPES)}; --recipe list says more.")
    return RECIPES[name]


def recipe_presets(argv: Sequence[str] | None, stream: str) -> Options:
    """Returns the options of the recipe that the command line names, or of the one that fits the data set.

    `--recipe list` shows all recipes and ends. One that is not there or has no such stream ends with exit code 2.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--recipe", default="")
    name = parser.parse_known_args(argv)[0].recipe
    if name == "list":
        print(listing())
        sys.exit(0)
    words = sys.argv[1:] if argv is None else argv
    if name in OWN_RECIPES or (not name and not {"-h", "--help"} & set(words)):
        options, said = automatic_options(argv, stream, words, name)
        print(said, end="\n" if said else "", flush=True)
        return options
    try:
        return recipe_named(name).options(stream) if name else {}
    except ValueError as error:
        parser.error(str(error))


def departures(name: str, stream: str, options: Options) -> dict[str, Any]:
    """Returns the options that differ from their recipe's, with the recipe's values."""
    if not name or name in OWN_RECIPES:
        return {}
    wanted = recipe_named(name).options(stream)
    return {key: value for key, value in wanted.items() if options[key] != (list(value) if _is_list(value) else value)}


def listing() -> str:
    """Returns all recipes, each with its source, its commands and what is expected."""
    return "\n\n".join(_described(name, recipe) for name, recipe in RECIPES.items())


def _described(name: str, recipe: Recipe) -> str:
    results = ", ".join(f"{what} {percent:g} %" for what, percent in recipe.expected.items())
    chosen = ", selected on the test list" if recipe.is_test_selected else ""
    expected = (
        f"expected on split 1: {results} (± {recipe.tolerance:g}{chosen})" if results else "no published figures known"
    )
    return "\n".join([f"{name}  ({recipe.source})", *(f"    {line}" for line in [expected, *recipe.commands(name)])])


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
