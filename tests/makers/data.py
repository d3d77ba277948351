"""Made-up videos and lists, as small as they can be and in the form in which the real ones are published."""

from pathlib import Path

import numpy as np

from data.extraction.decoder import write_video
from data.extraction.one_video import Job, extract_video
from data.extraction.video_files import find_sources
from data.ready import open_dataset
from data.store.description import Recipe
from data.store.index import index_path, write_index

SIZE = (48, 40)  # Width and height.


def write_clip(path, frames=5, shift=2, down=0, size=SIZE, codec="MJPG", fps=10.0, seed=None):
    """Writes a video of a texture that moves right by `shift` and down by `down` pixels a frame."""
    width, height = size
    generator = np.random.default_rng(len(path.name) if seed is None else seed)
    small = generator.integers(0, 256, (height // 4 + 2, width // 4 + 2, 3))
    texture = np.kron(small, np.ones((4, 4, 1)))[:height, :width].astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, (np.roll(texture, (down * index, shift * index), (0, 1)) for index in range(frames)), fps, codec)
    return path


def write_lines(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    # The real lists end their lines as Windows does.
    path.write_bytes("".join(f"{line}\r\n" for line in lines).encode())


def ucf101_lists(root: Path) -> None:
    """Writes lists of two classes, the one with the quirk in its name, for three splits."""
    folder = root / "annotations" / "ucfTrainTestlist"
    write_lines(folder / "classInd.txt", "1 Archery", "2 HandstandPushups")
    archery = "Archery/v_Archery_g{:02d}_c01.avi"
    pushups = (
        "HandstandPushups/v_HandStandPushups_g{:02d}_c01.avi",
        "HandStandPushups/v_HandstandPushups_g{:02d}_c01.avi",
    )
    for split in (1, 2, 3):
        train = [group for group in (1, 2, 3) if group != split]
        # Lists of other splits spell the class in their own way.
        spelling = pushups[split % 2]
        lines = [f"{archery.format(group)} 1" for group in train] + [f"{spelling.format(group)} 2" for group in train]
        write_lines(folder / f"trainlist{split:02d}.txt", *lines)
        write_lines(folder / f"testlist{split:02d}.txt", archery.format(split), spelling.format(split))


def hmdb51_lists(root: Path) -> None:
    """Writes lists of two classes with odd names; of three videos a class each tag has one."""
    for name in ("brush_hair", "wave"):
        videos = [f"A_film!_[part_{n}]_(b)_{name}_u_nm_np1_ba_goo_{n}.avi" for n in (0, 1, 2)]
        for split in (1, 2, 3):
            lines = [f"{video} {(index + split) % 3} " for index, video in enumerate(videos)]
            folder = root / "annotations" / "testTrainMulti_7030_splits"
            write_lines(folder / f"{name}_test_split{split}.txt", *lines)


def ccv_lists(root: Path) -> None:
    """Writes ids and labels of three classes: with one label, two and none in each part."""
    folder = root / "annotations"
    write_lines(folder / "categoryName.txt", "Basketball", "IceSkating", "Parade")
    for part, ids in (("train", ("-aB3_x", "AB3_x-", "none_1")), ("test", ("t1_____", "t2_____", "none_2"))):
        write_lines(folder / f"{part}VidID.txt", *ids)
        write_lines(folder / f"{part}Label.txt", "0 1 0 ", "1 0 1 ", "0 0 0 ")


def extract_all(dataset, recipe):
    """Prepares a data set in this process, which starts quicker than workers do."""
    recipe.keep(dataset.root)
    sources = find_sources(dataset, dataset.root / "videos")
    rows = [
        extract_video(Job(sources[name], dataset.frame_folder(video), name, video.folder, recipe))
        for name, video in dataset.videos.items()
    ]
    write_index(index_path(dataset.root), rows)
    return rows


def sound_data(root: Path) -> Path:
    """Prepares four videos, none like another: those of one class move to the right, those of the other down."""
    lines = ["video,label,group,split"]
    for place, label in enumerate(("left", "right")):
        for number in range(2):
            name = f"{label}/{label}{number}.avi"
            write_clip(
                root / "videos" / name, shift=2 - 2 * place, down=2 * place, size=(80, 64), seed=10 * place + number
            )
            lines.append(f"{name},{label},{label}{number},{'test' if number else 'train'}")
    (root / "videos" / "videos.csv").write_text("\n".join(lines))
    extract_all(open_dataset("mine", root), Recipe(method="dis"))
    return root


def claim(path, width, height):
    """Lets the header of a JPEG say that it has other sides than its data."""
    data = bytearray(path.read_bytes())
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = height.to_bytes(2) + width.to_bytes(2)
    path.write_bytes(data)
