"""Hooks for MkDocs: pages that are made from the code, links that leave the documentation, and checks of code."""

import ast
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

PROJECT = Path(__file__).resolve().parents[2]
_COLUMNS = 84
sys.path.insert(0, str(PROJECT))

from docs.site.code_blocks import commands, help_all, problems_of  # noqa: E402

# Modules that other programs may import, by purpose.
PUBLIC = {
    "Predicting": ("fusion/two_stream.py", "fusion/prediction/prediction.py"),
    "Optical flow": ("data/optical_flow/compute.py", "data/optical_flow/picture.py", "data/optical_flow/levels.py"),
    "Data sets": ("data/catalog.py", "data/ready.py"),
    "Clips for training, views for testing": ("pipelines/inputs.py", "pipelines/clip_stream.py", "pipelines/clips.py"),
    "Networks": ("streams/networks/both_streams.py", "streams/networks/scoring.py", "streams/runs/model_file.py"),
    "Scores and fusion": ("streams/runs/score_file.py", "fusion/methods/table.py", "fusion/methods/measures.py"),
}


# Pages that are kept at the root of the project, and their places in the documentation.
_FROM_ROOT = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages that are made from the code, and those that are outside of docs/."""
    made = {"reference/options.md": options_page(), "reference/python.md": python_page()}
    for name, page in _FROM_ROOT.items():
        made[page] = (PROJECT / name).read_text(encoding="utf-8").replace("](docs/", "](")
    for name, text in made.items():
        files.append(File.generated(config, name, content=text.replace("](CHANGELOG.md)", "](changelog.md)")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Raises an error for wrong code blocks, and replaces links to files outside of the documentation by names."""
    problems = [] if page.file.src_uri.startswith("reference/") else list(problems_of(markdown))
    if problems:
        raise PluginError(f"{page.file.src_uri}: {'; '.join(problems)}")
    return re.sub(r"\[([^\]]+)\]\(([^)\s]+)\)", lambda link: _that_stays(link, page.file.src_uri), markdown)


def _that_stays(link: re.Match[str], page: str) -> str:
    """Returns a link that leads somewhere in the documentation, or the name alone of a file outside of it."""
    path, mark, anchor = link[2].partition("#")
    if not path or "://" in path or path.startswith("mailto:") or page in _FROM_ROOT.values():
        return link[0]
    target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), path))
    if target in _FROM_ROOT:
        return f"[{link[1]}]({posixpath.relpath(_FROM_ROOT[target], posixpath.dirname(page) or '.')}{mark}{anchor})"
    return link[0] if target.startswith("docs/") and not target.endswith(".ipynb") else link[1]


def options_page() -> str:
    """Returns the reference of all commands, which is the output of `--help-all`."""
    parts = ["# Options\n\nThe output of `--help-all` for each command. `--help` shows the most common options.\n"]
    for name, script in commands().items():
        parts.append(f"\n## ./run {name}\n\nThe same as `python {script}`.\n\n```text\n{help_all(script)}```\n")
    return "".join(parts)


def python_page() -> str:
    """Returns the reference of the modules that other programs may import: signatures and docstrings."""
    parts = [
        "# Python\n\n`from two_stream import TwoStream` is all that most programs need. The rest is for building "
        "others.\n"
    ]
    for title, paths in PUBLIC.items():
        parts.append(f"\n## {title}\n")
        for path in paths:
            parts.append(
                _module((PROJECT / path).read_text(encoding="utf-8"), path.removesuffix(".py").replace("/", "."))
            )
    return "".join(parts)


def _module(source: str, name: str) -> str:
    tree = ast.parse(source)
    parts = [f"\n### {name}\n\n{_text_of(tree)}\n"]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            parts.append(_described(node))
            methods = (
                [each for each in node.body if isinstance(each, ast.FunctionDef)]
                if isinstance(node, ast.ClassDef)
                else []
            )
            parts += [_described(each, f"{node.name}.") for each in methods if not each.name.startswith("_")]
    return "".join(parts)


def _described(node: ast.FunctionDef | ast.ClassDef, owner: str = "") -> str:
    if isinstance(node, ast.ClassDef):
        fields = [ast.unparse(each) for each in node.body if isinstance(each, ast.AnnAssign)]
        head = "\n".join([f"class {node.name}", *(f"    {each}" for each in fields if not each.startswith("_"))])
    else:
        returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        arguments = re.sub(r"^(self|cls)(, )?", "", ast.unparse(node.args))
        if len(owner + node.name + arguments + returns) > _COLUMNS:
            arguments = "\n    " + re.sub(r", (?=\*|\w+[:=,])", ",\n    ", arguments) + ",\n"
        head = f"{owner}{node.name}({arguments}){returns}"
    return f"\n```python\n{head}\n```\n\n{_text_of(node)}\n"


def _text_of(node: ast.Module | ast.FunctionDef | ast.ClassDef) -> str:
    """Returns a docstring with its examples as blocks of code."""
    text = ast.get_docstring(node) or ""
    return re.sub(
        r"(?m)(^>>> .*\n?)+", lambda found: f"```python\n{found[0].replace('>>> ', '').rstrip()}\n```\n", text
    )
