"""The parameters of a flow method: its defaults, what a preset changes, and what was asked for, all of it checked."""

from __future__ import annotations

import argparse
import ast
import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

Values = Mapping[str, Any]

# The least and the most that OpenCV and our own methods around it can do with; some of OpenCV's crash beyond.
LIMITS: dict[str, tuple[float, float]] = {
    "Tau": (0.001, 0.25),
    "Lambda": (0.001, math.inf),
    "Theta": (0.001, math.inf),
    "ScalesNumber": (1, math.inf),
    "WarpingsNumber": (1, math.inf),
    "Epsilon": (0, math.inf),
    "InnerIterations": (1, math.inf),
    "OuterIterations": (1, math.inf),
    "ScaleStep": (0.1, 0.99),
    "MedianFiltering": (1, 5),
    "pyr_scale": (0.1, 0.99),
    "levels": (1, math.inf),
    "winsize": (1, math.inf),
    "iterations": (1, math.inf),
    "poly_n": (1, math.inf),
    "poly_sigma": (0.1, math.inf),
    "FinestScale": (0, math.inf),
    "PatchSize": (4, 64),
    "PatchStride": (1, 64),
    "GradientDescentIterations": (1, math.inf),
    "VariationalRefinementIterations": (0, math.inf),
    "smoothness": (0, math.inf),
    "brightness": (0, math.inf),
    "gradient": (0, math.inf),
    "blur": (0.1, math.inf),
    "scale": (0.1, 0.99),
    "warps": (1, math.inf),
    "fixed_point_iterations": (1, math.inf),
    "relaxation_steps": (1, math.inf),
    "corners": (1, math.inf),
    "inlier_distance": (0.01, math.inf),
}


def all_values(method: str, defaults: Values, presets: Mapping[str, Values], preset: str, asked: Values) -> Values:
    """Returns a value for every parameter of a method; each has the type of its default."""
    if preset not in presets:
        raise ValueError(f"The preset must be one of {', '.join(presets)}. Received {preset!r}.")
    unknown = sorted(asked.keys() - defaults.keys())
    if unknown:
        raise ValueError(f"{method} has no parameter {unknown[0]!r}; it has {', '.join(sorted(defaults))}.")
    checked = {name: _checked(method, name, value, defaults[name]) for name, value in asked.items()}
    return {**defaults, **presets[preset], **checked}


def _checked(method: str, name: str, value: Any, default: Any) -> Any:
    if isinstance(default, bool):
        if not isinstance(value, bool | np.bool_):
            raise ValueError(f"{method} needs {name} to be True or False. Received {value!r}.")
        return bool(value)
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral if isinstance(default, int) else Real):
        kind = "a whole number" if isinstance(default, int) else "a number"
        raise ValueError(f"{method} needs {name} to be {kind}. Received {value!r}.")
    least, most = LIMITS.get(name, (-math.inf, math.inf))
    if not (math.isfinite(value) and least <= float(value) <= most):
        limits = f"from {least:g} to {most:g}" if math.isfinite(most) else f"of {least:g} or more"
        raise ValueError(
            f"{method} needs {name} {limits if math.isfinite(least) else 'to be finite'}. Received {value!r}."
        )
    return type(default)(value)


def named_value(word: str) -> tuple[str, Any]:
    """Returns name and value of a parameter as it is written on a command line."""
    name, _, value = word.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError) as error:
        raise argparse.ArgumentTypeError(
            f"write NAME=VALUE, like warps=5 or smooth=False; received {word!r}"
        ) from error
