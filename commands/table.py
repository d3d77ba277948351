"""The commands by the names that users type. It imports no package, since ./run and setup.py use it, too."""

import difflib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

PAGE = """\
  own FOLDER   from a folder of clips to a report and a model

  prepare      videos -> frames and flow
  doctor       checks a data set, and repairs it
  train spatial, train temporal, train both   frames and flow -> a model
  evaluate     models -> scores, their fusion, a report
  predict      what happens in videos
  serve        the same on a web page of this machine
  export       both streams as one file, also ONNX, LiteRT and a folder for a hub

  show         a picture of what the networks see
  flow         the optical flow between two pictures
  pack         one archive per video instead of loose files

  completion   what a shell needs to complete these commands: bash, zsh or fish"""


class Command(NamedTuple):
    """Where a command lives, and which packages it needs beside those of all commands."""

    script: str
    extra: str = ""

    @property
    def module(self) -> str:
        """The name of its module."""
        return self.script.removesuffix(".py").replace("/", ".")

    @property
    def requirements(self) -> str:
        """The file that lists what it needs."""
        return f"requirements-{self.extra}.txt" if self.extra else "requirements.txt"


COMMANDS = {
    "own": Command("fusion/own.py"),
    "predict": Command("fusion/predict.py"),
    "serve": Command("fusion/serve.py", "serve"),
    "prepare": Command("data/prepare.py"),
    "doctor": Command("data/doctor.py"),
    "evaluate": Command("fusion/evaluate.py"),
    "export": Command("fusion/export.py", "export"),
    "show": Command("pipelines/show.py"),
    "flow": Command("data/flow.py"),
    "pack": Command("data/pack.py"),
    "train spatial": Command("spatial/train.py"),
    "train temporal": Command("temporal/train.py"),
    "train both": Command("fusion/train.py"),
    "completion": Command("commands/completion.py"),
}


def parted(words: Sequence[str]) -> tuple[str, list[str]]:
    """Returns the name of the command that the words begin with, and the other words."""
    count = 2 if words[:1] == ["train"] else 1
    return " ".join(words[:count]), list(words[count:])


def unknown(name: str, known: Iterable[str], program: str) -> str:
    """Returns a sentence about a name that no command has, and the one that may have been meant."""
    near = difflib.get_close_matches(name, list(known), n=1)
    meant = f" Did you mean {near[0]}?" if near else ""
    return f"There is no command {name!r}.{meant} {program} --help lists them."
