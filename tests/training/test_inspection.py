"""The lines before the first step of a training: its input, its memory, and differences from the requested training."""

import re
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from data.optical_flow.levels import quantise
from streams.training.devices import free_memory, of_groups
from streams.training.explaining import tells_of_memory
from streams.training.first_batch import (
    caveats,
    check_inputs,
    check_memory,
    contact_sheet,
    estimate_memory,
    out_of_memory,
    what_fits,
)
from tests.makers.training import made_config, made_network

PROJECT = Path(__file__).resolve().parents[2]


def moving(random):
    """Flow that moves by a few pixels at a bound of 20: far from both ends of its range."""
    return np.clip(random.normal(128, 15, (4, 16, 16, 6)), 60, 200).astype(np.uint8)


def test_living_flow_of_a_fixed_bound_is_not_warned_about():
    (line,) = check_inputs(moving(np.random.default_rng(0)), is_flow=True)

    assert line.startswith("First batch of flow: levels ")
    assert line.endswith("0.00% at the bound.")


def test_flow_scaled_by_its_own_extremes_is_warned_about():
    flow = moving(np.random.default_rng(0)).astype(float)
    low, high = (extreme(flow, axis=(1, 2), keepdims=True) for extreme in (np.min, np.max))

    lines = check_inputs((255 * (flow - low) / (high - low)).astype(np.uint8), is_flow=True)

    assert "scaled by its own extremes" in lines[1]


def test_flow_without_motion_and_empty_frames_are_warned_about():
    for is_flow, said in ((True, "flow fields show no motion"), (False, "images have a single colour")):
        lines = check_inputs(np.full((4, 16, 16, 6), 128, np.uint8), is_flow=is_flow)
        assert said in lines[1]


@pytest.mark.parametrize("level", [0, 1, 127, 128, 255])
def test_flow_of_one_dead_level_shows_no_motion(level):
    lines = check_inputs(np.full((4, 16, 16, 6), level, np.uint8), is_flow=True)

    assert "flow fields show no motion" in lines[-1]


@pytest.mark.parametrize("rule", ["centred", "classic"])
@pytest.mark.parametrize("pixels", [-2.0, 2.0, 0.3])
def test_flow_in_which_all_moves_alike_is_alive(rule, pixels):
    pan = np.full((4, 16, 16, 6), quantise(np.array(pixels), rule=rule), np.uint8)
    across = pan.copy()
    across[..., 1::2] = quantise(np.array(0.0), rule=rule)

    for clips in (pan, across):
        assert len(check_inputs(clips, is_flow=True)) == 1


def test_tensorboard_shows_flow_in_colour():
    fields = np.full((4, 8, 8, 20), 128, np.uint8)
    fields[1, ..., 0] = 148  # To the right.
    fields[2, ..., 0] = 108  # To the left.

    (sheet,) = contact_sheet(fields, is_flow=True)

    assert sheet.shape == (16, 16, 3)
    assert (sheet[:8, :8] == 255).all()  # Still.
    np.testing.assert_array_equal(sheet[4, 12], [255, 0, 0])
    np.testing.assert_array_equal(sheet[12, 4], [0, 255, 255])


def compiled(**options):
    network = made_network(**options)
    network.compile(optimizer="adam")
    network.optimizer.build(network.trainable_variables)
    return network


def test_what_a_clip_needs_grows_with_its_maps_and_halves_in_half_precision():
    import keras

    whole = estimate_memory(compiled())[1]
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = estimate_memory(compiled())[1]
    finally:
        keras.config.set_dtype_policy("float32")

    # The scaled clip of 32 x 32 x 3 is kept for the first convolution; maps of 7 x 7 x 4 follow.
    assert whole > 4 * 32 * 32 * 3
    assert half < 0.7 * whole


def test_segments_input_and_kept_validation_clips_are_in_the_estimate():
    network = compiled()

    def estimate(batches=None, **options):
        config = made_config(batch_size=8, **options)
        kept = batches and tf.data.Dataset.from_tensors((tf.zeros([8, 32, 32, 3], tf.uint8), tf.zeros(8))).repeat(
            batches
        )
        return estimate_memory(network, config, kept)

    fixed, per_example = estimate()

    assert estimate(segments=3)[1] == 3 * per_example
    assert estimate(segments=3)[0] - fixed == 2 * 5 * 8 * 32 * 32 * 3
    assert estimate(batches=100)[0] - fixed == 100 * 8 * 32 * 32 * 3
    assert estimate(batches=100_000)[0] == fixed  # More than is kept from one epoch to the next.
    assert fixed > estimate_memory(network)[0] + 5 * 8 * 32 * 32 * 3


def test_a_look_at_a_batch_does_not_take_many_times_its_memory():
    clips = np.random.default_rng(0).integers(0, 256, (64, 64, 64, 20), dtype=np.uint8)

    tracemalloc.start()
    check_inputs(clips, is_flow=True)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most < 4 * clips.nbytes


@pytest.mark.parametrize("accumulate", [1, 2])
def test_out_of_memory_is_answered_with_what_fits(accumulate):
    config = made_config(batch_size=8, accumulate=accumulate)
    huge = 2**50  # Bytes for each clip: one at most should be tried.

    said = what_fits(config, 0.0, huge)

    assert re.search(r"About 1 should fit: pass --accumulate 8 .*, or --batch-size \d", said)
    assert out_of_memory(config, compiled()).startswith(f"Out of memory: {8 // accumulate} clips at once need about")


def test_what_is_free_is_what_the_tightest_control_group_leaves(tmp_path):
    own, inner = tmp_path / "cgroup", tmp_path / "fs" / "user" / "job"
    own.write_text("0::/user/job\n")
    inner.mkdir(parents=True)
    for folder, limit in ((inner, "max"), (inner.parent, "1000")):
        (folder / "memory.max").write_text(limit)
        (folder / "memory.current").write_text("600")
        (folder / "memory.stat").write_text("anon 350\ninactive_file 200\nactive_file 50\n")

    # Files in memory make room when it is needed. The outermost group has no limit at all.
    assert list(of_groups(tmp_path / "fs", own)) == [650.0]


def test_control_groups_of_the_first_version_are_known_too(tmp_path):
    own, group = tmp_path / "cgroup", tmp_path / "fs" / "memory" / "job"
    own.write_text("7:cpu,cpuacct:/job\n4:memory:/job\n0::/\n")
    group.mkdir(parents=True)
    for name, content in (("limit_in_bytes", "1000"), ("usage_in_bytes", "600"), ("stat", "inactive_file 100\n")):
        (group / f"memory.{name}").write_text(content)

    assert list(of_groups(tmp_path / "fs", own)) == [500.0]


def test_a_training_that_may_not_fit_is_warned_about_and_one_that_cannot_is_refused():
    free = free_memory()
    config = made_config()

    assert check_memory(config, 0.5 * free, 0.0) == []
    (warned,) = check_memory(config, 0.0, 1.2 * free / 8)
    assert warned.startswith("Warning: ")
    with pytest.raises(RuntimeError, match=r"needs about .* of memory; .* are free\. About \d should fit: pass --acc"):
        check_memory(config, 0.0, 4 * free / 8)


@pytest.mark.slow
def test_a_batch_that_cannot_fit_ends_with_one_message_and_following_it_leads_to_one_that_trains(tmp_path):
    def trained(batch_size):
        words = [sys.executable, "-m", "tests.makers.processes.little_memory", str(tmp_path), str(batch_size)]
        done = subprocess.run(words, capture_output=True, text=True, cwd=PROJECT)
        return done.returncode, done.stderr

    batch_size, tried = 3250, 0
    while batch_size and tried < 4:
        code, said = trained(batch_size)
        tried += 1
        if not code:
            break
        # Addresses are what is short here, and run out before memory does, so that the first that it names may not fit.
        assert said.splitlines()[-1].startswith(("Error: This training needs about ", "Error: Out of memory: "))
        assert "Traceback" not in said
        named = int(re.search(r"or --batch-size (\d+)", said)[1])
        assert named < batch_size
        batch_size = named

    assert not code
    assert tried > 1


def test_lack_of_memory_in_onednn_is_known_by_its_status():
    said = "Operation received an exception:Status: {}, message: could not create a primitive, in file mkl_conv.cc:685"

    assert tells_of_memory(tf.errors.AbortedError(None, None, said.format(1)))
    assert not tells_of_memory(tf.errors.AbortedError(None, None, said.format(3)))


def test_it_is_said_where_batch_normalisation_makes_parts_differ_from_a_whole_batch():
    with_norm, without = compiled(batch_norm=True), compiled()

    assert caveats(with_norm, made_config(accumulate=4), 1)[0].startswith("Batch normalisation sees 2 clips at a time")
    assert "--sync-batch-norm" in caveats(with_norm, made_config(), 2)[0]
    assert caveats(with_norm, made_config(sync_batch_norm=True), 2) == []
    assert caveats(without, made_config(accumulate=4), 2) == []
