"""The notebook runs from nothing but itself, and what is stored in it is what it prints."""

from pathlib import Path

import nbclient
import nbformat
import pytest

from benchmarks.house import PROJECT

NOTEBOOK = PROJECT / "docs" / "two_stream.ipynb"


def kinds_of_outputs(notebook):
    """What each cell shows: text, values and pictures, but not what installing and training print."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [[(each.output_type, *sorted(each.get("data", ()))) for each in cell.outputs] for cell in cells[1:]]


def test_the_notebook_is_stored_with_its_pictures_and_without_paths_of_a_machine():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    pictures = [each for cell in kinds_of_outputs(notebook) for each in cell if "image/png" in each]

    assert len(pictures) >= 5
    assert all(kinds_of_outputs(notebook))
    assert str(Path.home()) not in NOTEBOOK.read_text(encoding="utf-8")
    assert "/work" not in NOTEBOOK.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_notebook_alone_fetches_the_project_and_shows_what_is_stored(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    stored = kinds_of_outputs(notebook)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert 'repository = ""' in first.source
    first.source = first.source.replace('repository = ""', f"repository = {str(PROJECT)!r}")

    nbclient.NotebookClient(notebook, timeout=3000, resources={"metadata": {"path": str(tmp_path)}}).execute()

    assert kinds_of_outputs(notebook) == stored
    run = tmp_path / "two-stream" / "runs" / "shapes"
    assert (run / "fusion" / "split1" / "report.html").is_file()
    assert (run / "what_happens.png").read_bytes().startswith(b"\x89PNG")
