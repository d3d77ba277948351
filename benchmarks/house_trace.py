"""Runs a tiny training of the temporal stream and notes which functions of the project it enters."""

import contextlib
import inspect
import io
import os
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

from commands.running import quiet_tensorflow

PROJECT = Path(__file__).resolve().parents[1]
ROOMS = ("commands", "data", "pipelines", "streams", "spatial", "temporal", "fusion")
# What one run entered: the line on which each function begins, decorators included, by file.
Entered = Mapping[str, frozenset[int]]

# Six videos of 48 x 36 pixels, prepared.
DATA = PROJECT / "tests" / "endings" / "before" / "dataset"
OPTIONS = "--dataset ucf101 --validation 0.5 --crop-size 32 --length 3 --epochs 1 --batch-size 2"
_ROOMS = tuple(f"{PROJECT / room}{os.sep}" for room in ROOMS)


class Trace(NamedTuple):
    """What one training entered of the project's code."""

    whole: Entered
    before_fit: Entered  # What had been entered when Keras' `fit` was called for the first time.
    way_to_fit: tuple[str, ...]  # The functions that were waiting for `fit` to return, `main` first.


def trace_training() -> Trace:
    """Trains for one epoch, and returns what was entered on the way."""
    from temporal.train import main  # Not for those who only count lines.

    quiet_tensorflow()  # Ahead of the trace, which would make the import slow.
    watch = _Watch()
    with tempfile.TemporaryDirectory() as runs, contextlib.redirect_stdout(io.StringIO()), watch.watching():
        main([*OPTIONS.split(), "--root", str(DATA), "--runs", runs])
    return watch.trace()


class _Watch:
    """Collects the code that is entered while it watches."""

    def __init__(self) -> None:
        self.entered: set[CodeType] = set()
        self.before_fit: set[CodeType] = set()
        self.way: tuple[str, ...] = ()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Notes every call of Python code in this thread and in those that it starts."""
        before = sys.gettrace(), threading.gettrace()
        threading.settrace(self._note)
        # `settrace` and not `setprofile`, which would report every return and every call of C code as well.
        sys.settrace(self._note)
        try:
            yield
        finally:
            sys.settrace(before[0])
            threading.settrace(before[1])

    def trace(self) -> Trace:
        """Returns what was noted."""
        if not self.way:
            raise RuntimeError("The training never called Keras' fit, so the way to it can't be measured.")
        return Trace(_by_file(self.entered), _by_file(self.before_fit), self.way)

    def _note(self, frame: FrameType, event: str, value: object) -> None:
        code = frame.f_code
        if code.co_filename.startswith(_ROOMS):
            self.entered.add(code)
        elif code.co_name == "converted_call" and "autograph" in code.co_filename:
            # What runs in a graph is a translation of our function, made into a file of its own.
            translated = _code_of(frame.f_locals.get("f"))
            if translated and translated.co_filename.startswith(_ROOMS):
                self.entered.add(translated)
        elif not self.way and code.co_name == "fit" and "keras" in code.co_filename:
            self.before_fit = set(self.entered)
            self.way = tuple(_own_functions_around(frame))[::-1]


def _own_functions_around(frame: FrameType | None) -> Iterator[str]:
    while frame:
        if frame.f_code.co_filename.startswith(_ROOMS):
            yield f"{Path(frame.f_code.co_filename).relative_to(PROJECT).as_posix()} {frame.f_code.co_name}"
        frame = frame.f_back


def _code_of(function: object) -> CodeType | None:
    while isinstance(function, partial):
        function = function.func
    function = getattr(function, "__func__", function)
    if callable(function):
        function = inspect.unwrap(function)
    found = getattr(function, "__code__", None)
    return found if isinstance(found, CodeType) else None


def _by_file(codes: set[CodeType]) -> Entered:
    starts: dict[str, set[int]] = defaultdict(set)
    for code in codes:
        starts[Path(code.co_filename).relative_to(PROJECT).as_posix()].add(code.co_firstlineno)
    return {file: frozenset(lines) for file, lines in starts.items()}
