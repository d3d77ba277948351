import json
import shutil
from pathlib import Path

import pytest

from tests.makers.models import make_model, make_video

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "two_stream.ipynb"


@pytest.mark.slow
def test_the_notebook_runs_from_a_video_to_its_picture(tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    run = tmp_path / "runs" / "made"
    for stream in ("spatial", "temporal"):
        made = make_model(tmp_path / f"{stream}.keras", stream)
        (run / stream / "split1").mkdir(parents=True)
        shutil.move(made, run / stream / "split1" / "model.keras")
    names = {"run": run, "video": make_video(tmp_path / "clip.avi"), "report": tmp_path / "report.png"}

    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        # Its parameters are where its user's own runs and videos lie.
        if cell["cell_type"] == "code" and "parameters" not in cell["metadata"].get("tags", ()):
            exec(compile("".join(cell["source"]), str(NOTEBOOK), "exec"), names)

    assert names["report"].read_bytes().startswith(b"\x89PNG")
