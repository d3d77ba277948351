"""Packing and unpacking what is not whole: nothing is lost without a word, and the command that is named mends it."""

import json
import re
import shlex
import shutil

import pytest

from data import doctor, pack
from tests.makers.data import sound_data


@pytest.fixture
def words(tmp_path):
    """What is typed for a prepared data set of four videos."""
    return ["mine", "--root", str(sound_data(tmp_path / "mine"))]


@pytest.fixture
def rawframes(words, tmp_path):
    return tmp_path / "mine" / "rawframes"


def stored(rawframes):
    return {path.relative_to(rawframes): path.read_bytes() for path in rawframes.rglob("*") if path.is_file()}


def mend(message):
    """Runs the command that a message names."""
    command = shlex.split(re.search(r"Run: (./run doctor .*), then this command again", message)[1])
    doctor.main(command[2:])


def lose_folder(folder):
    shutil.rmtree(folder)
    return "left0 is missing, and there is no archive of it"


def lose_frame(folder):
    max(folder.glob("img_*")).unlink()
    return "left0 holds fewer files than index.csv counts"


@pytest.mark.parametrize("lose", [lose_folder, lose_frame])
def test_a_video_that_is_not_whole_is_named_before_anything_is_packed(words, rawframes, lose):
    whole = stored(rawframes)
    said = lose(rawframes / "left" / "left0")

    with pytest.raises(ValueError, match=said) as stopped:
        pack.main(words)

    assert list(rawframes.rglob("*.zip")) == []
    mend(str(stopped.value))
    assert stored(rawframes) == whole
    pack.main(words)
    assert len(list(rawframes.rglob("*.zip"))) == 4


@pytest.mark.parametrize("unpack", [[], ["--unpack"]])
def test_a_lost_archive_is_no_video_that_was_packed_or_unpacked(words, rawframes, unpack):
    pack.main(words)
    (rawframes / "left" / "left0.zip").unlink()

    with pytest.raises(ValueError, match="left0 is missing, and there is no archive of it") as stopped:
        pack.main([*words, *unpack])

    mend(str(stopped.value))
    pack.main([*words, *unpack])


def turn_a_byte(data):
    data[len(data) // 3] ^= 255
    return data


@pytest.mark.parametrize("damage", [turn_a_byte, lambda data: data[:1000]])
def test_a_damaged_archive_is_named_and_mended_by_what_the_message_says(words, rawframes, damage):
    whole = stored(rawframes)
    pack.main(words)
    archive = rawframes / "right" / "right0.zip"
    archive.write_bytes(damage(bytearray(archive.read_bytes())))

    with pytest.raises(ValueError, match=re.escape(f"{archive} is damaged (")) as stopped:
        pack.main([*words, "--unpack"])

    assert not list(rawframes.rglob(".incomplete*"))
    mend(str(stopped.value))
    pack.main([*words, "--unpack"])
    assert stored(rawframes) == whole


def test_the_doctor_says_that_only_some_videos_are_packed(words, rawframes, capsys):
    pack.main(words)
    (rawframes.parent / "layout.json").write_text(json.dumps({"name": "half packed"}))

    with pytest.raises(ValueError, match="1 of the 1 findings are errors"):
        doctor.main(words)

    assert f"Finish with: ./run pack mine --root {rawframes.parent} (or" in capsys.readouterr().out
