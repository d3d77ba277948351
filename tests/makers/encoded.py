"""Makes videos with a chosen codec, and data sets of them that are prepared or only indexed."""

import dataclasses

import av

from data.catalog import OURS
from data.ready import open_dataset, ready_dataset
from data.store.description import INDEX, JPEG_QUALITY, Recipe
from data.store.whole_folder import begin_indexing
from tests.makers.data import extract_all
from tests.makers.videos import FRAME_RATE, moving_frames

X264 = {"g": "12", "bf": "3", "sc_threshold": "0"}
SIZE = (80, 64)


def encode(path, codec, options, frames=None):
    """Writes frames with a codec of FFmpeg."""
    frames = moving_frames(40, SIZE, 3) if frames is None else frames
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FRAME_RATE, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode(None))
    return path


def write_videos(root, count=12):
    """Writes videos of two classes and several lengths. Three of each class are in the test list."""
    lines = ["video,label,group,split"]
    for number in range(count):
        label, shift = ("left", -2) if number % 2 else ("right", 2)
        codec, options, suffix = (("libx264", X264, "mp4"), ("mpeg4", {"g": "5"}, "avi"))[number // 2 % 2]
        name = f"{label}/{label}{number}.{suffix}"
        frames = moving_frames(7 + number, SIZE, shift, seed=number)
        encode(root / "videos" / name, codec, options, frames)
        lines.append(f"{name},{label},{label}{number},{'test' if number >= count - 4 else 'train'}")
    (root / "videos" / "videos.csv").write_text("\n".join(lines))
    return root


RECIPE = Recipe(method="dis", short_side=48)


def indexed(root, *, as_stored=False, **recipe):
    """Returns a data set of which only an index is stored."""
    quality = JPEG_QUALITY if as_stored else None
    begin_indexing(root)
    extract_all(open_dataset("mine", root), dataclasses.replace(RECIPE, only=INDEX, jpeg_quality=quality, **recipe))
    return ready_dataset("mine", root)


def stored(root, **recipe):
    """Returns a data set whose frames and flow are stored."""
    assert open_dataset("mine", root).layout == OURS
    extract_all(open_dataset("mine", root), dataclasses.replace(RECIPE, **recipe))
    return ready_dataset("mine", root)
