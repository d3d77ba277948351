"""Lists the commands by the names that users type. It imports no packages, because ./run and setup.py use it too."""

import difflib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

PAGE = """\
  own FOLDER   makes a model and a report from a folder of clips

  prepare      videos -> frames and flow
  doctor       checks a data set, and repairs it
  train spatial, train temporal, train both   frames and flow -> a model
  evaluate     models -> scores, their fusion, a report
  predict      recognises actions in videos
  serve        the same on a web page of this machine
  export       both streams as one file, also ONNX, LiteRT and a folder for a hub

  show         draws what the networks see
  flow         computes the optical flow between two pictures
  pack         stores each video as one archive instead of loose files

  completion   prints a script that completes commands in bash, zsh or fish"""


class Command(NamedTuple):
    """The script of a command, and the packages that it needs besides those of all commands."""

    script: str
    extra: str = ""

    @property
    def module(self) -> str:
        """The name of its module."""
        return self.script.removesuffix(".py").replace("/", ".")

    @property
    def requirements(self) -> str:
        """The requirements file of the command."""
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
    """Returns the name of the command with which the words begin, and the other words."""
    count = 2 if words[:1] == ["train"] else 1
    return " ".join(words[:count]), list(words[count:])


def unknown(name: str, known: Iterable[str], program: str) -> str:
    """Returns a message about an unknown command, with the name that may have been meant."""
    near = difflib.get_close_matches(name, list(known), n=1)
    meant = f" Did you mean {near[0]}?" if near else ""
    return f"There is no command {name!r}.{meant} {program} --help lists them."
