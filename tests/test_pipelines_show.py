import numpy as np
import pytest
from PIL import Image

from pipelines import sheet, show
from pipelines.inputs import Input


def test_still_flow_is_white_and_motion_is_coloured():
    field = np.full((8, 8, 2), 128, np.uint8)
    field[:, 4:, 0] = 160

    picture = sheet.strip_of(field, Input("flow", 1), "centred")

    assert (picture[:, :28] == 255).all()
    assert (picture[:, 36:] != 255).any()


def test_the_sheet_has_a_row_for_every_input(tmp_path):
    frames = np.full((2, 32, 32, 3), 90, np.uint8)
    fields = np.full((2, 32, 32, 4), 150, np.uint8)

    sheet.draw_sheet({Input("rgb"): frames, Input("flow", 2): fields}, ["A", "B"], "centred", tmp_path / "sheet.png")

    picture = np.asarray(Image.open(tmp_path / "sheet.png").convert("L"))
    row, top = sheet.PART + sheet.GAP, sheet.MARGIN + sheet.HEAD
    left = sheet.MARGIN + sheet.LABELS
    assert picture.shape[0] == top + 2 * row - sheet.GAP + sheet.MARGIN
    assert (picture[top : top + sheet.PART, left : left + sheet.PART] == 90).all()
    assert (picture[top + row : top + row + sheet.PART, left : left + sheet.PART] < 250).all()


def test_an_unknown_input_is_a_wrong_argument():
    with pytest.raises(SystemExit) as ended:
        show.main(["--inputs", "depth"])

    assert ended.value.code == 2
