import pytest

from pipelines.inputs import KINDS, Input


@pytest.mark.parametrize(
    ("kind", "channels", "num_items"),
    [
        ("rgb", 3, 1),
        ("grey", 4, 4),
        ("sg3i", 3, 3),
        ("rgb_difference", 15, 5),
        ("flow", 8, 4),
        ("trajectory", 8, 4),
        ("bidirectional", 8, 4),
        ("warped", 8, 4),
    ],
)
def test_every_kind_has_its_channels_and_reads_its_frames_or_fields(kind, channels, num_items):
    clip = Input(kind, 4)

    assert kind in KINDS
    assert (clip.channels, clip.num_items) == (channels, num_items)
    assert clip.shape(64) == (64, 64, channels)


def test_segments_are_an_extra_axis():
    assert Input("flow", 5, segments=3).shape(64) == (3, 64, 64, 10)


def test_a_stride_stretches_a_clip_without_reading_more():
    clip = Input("sg3i", stride=4)

    assert (clip.num_items, clip.span) == (3, 9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("colour",), "no input kind 'colour'"),
        (("flow", 0), "length of an input must be at least 1. Received 0"),
        (("flow", 5, 0), "segments of an input must be at least 1"),
        (("bidirectional", 5), "must be even. Received 5; pass 6"),
    ],
)
def test_what_no_clip_can_be_made_of_is_refused_with_a_remedy(arguments, message):
    with pytest.raises(ValueError, match=message):
        Input(*arguments)
