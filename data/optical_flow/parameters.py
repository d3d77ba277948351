"""Combines and checks the parameters of a flow method: its defaults, its preset, and the user's values."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

from data.optical_flow.levels import BOUNDS, check_bound

# The value of a parameter: a number, or True or False. `all_values` gives it the type of the default.
Value = Any
Values = Mapping[str, Value]

# The limits of every parameter. Beyond them OpenCV crashes or flow becomes NaN; within them all flow is finite.
LIMITS: dict[str, tuple[float, float]] = {
    "attachment": (0.001, 100),
    "tolerance": (0.01, 1000),
    "tightness": (0.001, 100),
    "step": (0.001, 0.25),
    "huber_slope": (0, 100),
    "warps": (1, 1000),
    "corners": (1, 100_000),
    "inlier_distance": (0.01, 1000),
    "smoothness": (0.01, 1000),
    "brightness": (0, 1000),
    "gradient": (0, 1000),
    "blur": (0.1, 100),
    "scale": (0.1, 0.99),
    "fixed_point_iterations": (1, 1000),
    "relaxation_steps": (1, 1000),
    "Tau": (0.001, 0.25),
    "Lambda": (0.001, 100),
    "Theta": (0.001, 100),
    "ScalesNumber": (1, 100),
    "WarpingsNumber": (1, 1000),
    "Epsilon": (0, 100),
    "InnerIterations": (1, 10_000),
    "OuterIterations": (1, 10_000),
    "ScaleStep": (0.1, 0.99),
    "MedianFiltering": (1, 5),
    "pyr_scale": (0.1, 0.99),
    "levels": (1, 100),
    "winsize": (1, 1000),
    "iterations": (1, 10_000),
    "poly_n": (1, 100),
    "poly_sigma": (0.1, 100),
    "flags": (0, 256),
    "FinestScale": (0, 100),
    "PatchSize": (4, 64),
    "PatchStride": (1, 64),
    "GradientDescentIterations": (1, 10_000),
    "VariationalRefinementIterations": (0, 10_000),
}


def all_values(method: str, defaults: Values, presets: Mapping[str, Values], preset: str, asked: Values) -> Values:
    """Returns a value for every parameter of a method; each has the type of its default."""
    if preset not in presets:
        raise ValueError(f"The preset must be one of {', '.join(presets)}. Received {preset!r}.")
    unknown = sorted(asked.keys() - defaults.keys())
    if unknown:
        raise ValueError(f"{method} has no parameter {unknown[0]!r}. Its parameters are {', '.join(sorted(defaults))}.")
    checked = {name: _checked(method, name, value, defaults[name]) for name, value in asked.items()}
    values = {**defaults, **presets[preset], **checked}
    if values.get("PatchStride", 0) > values.get("PatchSize", 0):  # OpenCV would write beyond its memory.
        raise ValueError(
            f"{method} needs a PatchStride of at most PatchSize, which is {values['PatchSize']}. "
            f"Received {values['PatchStride']}."
        )
    return values


def check_limits(method: str, name: str, value: Value) -> None:
    """Raises ValueError if a parameter is outside its limits."""
    least, most = LIMITS[name]
    if not least <= value <= most:  # This form also refuses NaN.
        raise ValueError(f"{method} needs {name} from {least:g} to {most:g}. Received {value!r}.")


def _checked(method: str, name: str, value: Value, default: Value) -> Value:
    if isinstance(default, bool):
        if not isinstance(value, bool | np.bool_):
            raise ValueError(f"{method} needs {name} to be True or False. Received {value!r}.")
        return bool(value)
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral if isinstance(default, int) else Real):
        kind = "a whole number" if isinstance(default, int) else "a number"
        raise ValueError(f"{method} needs {name} to be {kind}. Received {value!r}.")
    check_limits(method, name, value)
    return type(default)(value)


def named_value(word: str) -> tuple[str, Value]:
    """Parses NAME=VALUE of a command line."""
    name, _, value = word.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError) as error:
        raise argparse.ArgumentTypeError(
            f"write NAME=VALUE, like warps=5 or smooth=False; received {word!r}"
        ) from error


def bound_in_pixels(word: str) -> float:
    """Parses the bound of flow of a command line."""
    try:
        check_bound(bound := float(word))
    except ValueError as error:
        least, most = BOUNDS
        raise argparse.ArgumentTypeError(
            f"write pixels from {least:g} to {most:g}, like 20; received {word}"
        ) from error
    return bound
