"""Kinds of video files that cameras and editors make and OpenCV can't write: put together here, byte by byte."""

import struct

import cv2
import numpy as np

from data.extraction.decoder import write_video

FRAME_RATE = 10
ATOMS_OF_ATOMS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
# Sixteen-bit fractions, but for the last column, which has thirty bits: x right becomes y down, y down x left.
QUARTER_TURN = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)


def moving_frames(count=5, size=(48, 40), shift=2, seed=0):
    """Returns frames of a texture that moves to the right, its upper left quarter red."""
    width, height = size
    generator = np.random.default_rng(seed)
    texture = np.kron(generator.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3)), np.ones((4, 4, 1)))
    frames = [np.roll(texture[:height, :width].astype(np.uint8), index * shift, axis=1) for index in range(count)]
    for frame in frames:
        frame[: height // 2, : width // 2] = (230, 20, 20)
    return frames


def write_avi(path, chunks, size, codec=b"MPNG", bits=24, declared=None):
    """Writes an AVI of frames that are encoded already; `declared` is how many it says that it has."""
    width, height = size
    count = len(chunks) if declared is None else declared
    header = struct.pack("<14I", 1_000_000 // FRAME_RATE, 0, 0, 0x10, count, 0, 1, 0, width, height, 0, 0, 0, 0)
    stream = struct.pack("<4s4s10I4h", b"vids", codec, 0, 0, 0, 1, FRAME_RATE, 0, count, 0, 0, 0, 0, 0, width, height)
    picture = struct.pack("<IiiHH4s5I", 40, width, height, 1, bits, codec, 0, 0, 0, 0, 0)
    streams = _list(b"strl", _chunk(b"strh", stream) + _chunk(b"strf", picture))
    frames = _list(b"movi", b"".join(_chunk(b"00dc", chunk) for chunk in chunks))
    path.write_bytes(_chunk(b"RIFF", b"AVI " + _list(b"hdrl", _chunk(b"avih", header) + streams) + frames))
    return path


def write_png_avi(path, frames, **options):
    """Writes an AVI of PNG frames, which may have an alpha channel, be grey, or have 16 bits a channel."""
    chunks = [cv2.imencode(".png", frame)[1].tobytes() for frame in frames]
    return write_avi(path, chunks, frames[0].shape[1::-1], **options)


def write_ten_bit_avi(path, luma):
    """Writes grey frames of 10 bits a pixel as v210, which editors exchange; widths are multiples of 48."""
    chunks = []
    for plane in luma:
        height, width = plane.shape
        # Chroma and luma take turns, U Y V Y, three samples of 10 bits in 32.
        samples = np.full((height, width, 2), 512, np.uint32)
        samples[..., 1] = plane
        thirds = samples.reshape(height, -1, 3)
        chunks.append((thirds[..., 0] | thirds[..., 1] << 10 | thirds[..., 2] << 20).astype("<u4").tobytes())
    return write_avi(path, chunks, (width, height), b"v210", 20)


def write_turned(path, frames):
    """Writes an MP4 whose metadata ask for a quarter turn to the right, as of a phone that was held upright."""
    write_video(path, iter(frames), FRAME_RATE, "mp4v")
    # The matrix stands behind 40 bytes of times, numbers and flags.
    return _rewrite(path, b"tkhd", lambda data: data[:40] + QUARTER_TURN + data[76:])


def write_uneven(path, frames, durations):
    """Writes an MP4 whose frames last so many seconds each."""
    write_video(path, iter(frames), FRAME_RATE, "mp4v")
    ticks = 0

    def of_track(data):
        nonlocal ticks
        ticks = struct.unpack(">I", data[12:16])[0]  # Ticks a second.
        return data

    _rewrite(path, b"mdhd", of_track)
    path.write_bytes(path.read_bytes().replace(b"edts", b"free"))  # The edit list would end it when it ended before.
    table = b"".join(struct.pack(">2I", 1, round(ticks * seconds)) for seconds in durations)
    return _rewrite(path, b"stts", lambda data: data[:4] + struct.pack(">I", len(durations)) + table)


def _chunk(name, data):
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def _list(name, data):
    return _chunk(b"LIST", name + data)


def _rewrite(path, name, change):
    path.write_bytes(_changed(path.read_bytes(), name, change))
    return path


def _changed(data, name, change):
    """Returns MP4 atoms with those of a name changed; OpenCV writes the pictures first, so these never move."""
    result, place = b"", 0
    while place < len(data):
        size, kind = struct.unpack(">I4s", data[place : place + 8])
        content = data[place + 8 : place + size]
        if kind == name:
            content = change(content)
        elif kind in ATOMS_OF_ATOMS:
            content = _changed(content, name, change)
        result += struct.pack(">I4s", 8 + len(content), kind) + content
        place += size
    return result


def write_coded(path, frames, codec="libx264", **settings):
    """Writes frames by one of FFmpeg's encoders, with its settings: crf, g, bf, refs and so on."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            codec, rate=FRAME_RATE, options={name: str(each) for name, each in settings.items()}
        )
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode(None))
    return path
