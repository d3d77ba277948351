"""The recipe that follows the data: who takes which without being asked, and where ImageNet weights are found."""

import pytest

from spatial.train import SpatialConfig
from spatial.train import main as train_spatial
from streams.command import training_options
from streams.recipes import imagenet_files
from streams.recipes.chosen import PUBLISHED
from streams.recipes.imagenet_files import NAMES, find_imagenet
from streams.recipes.table import RECIPES
from temporal.train import TemporalConfig
from tests.makers.data import sound_data

CONFIGS = {"spatial": SpatialConfig, "temporal": TemporalConfig}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A prepared data set of four clips of six frames, 80 x 64 pixels."""
    return sound_data(tmp_path_factory.mktemp("own"))


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """The three places of weights, empty as long as no test fills them, in the order in which they count."""
    monkeypatch.setenv("TWO_STREAM_WEIGHTS", str(tmp_path / "named"))
    monkeypatch.setattr(imagenet_files, "HOME", tmp_path / "project")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    places = [tmp_path / "named", tmp_path / "project" / "weights", tmp_path / "keras" / "models"]
    for place in places:
        place.mkdir(parents=True)
    return places


def options_of(stream, *words):
    return training_options(CONFIGS[stream], words, "", stream)


def of_own(stream, own, *words):
    return options_of(stream, "--dataset", "mine", "--root", str(own), *words)


def test_own_clips_without_options_take_the_recipe_for_own_clips(own, capsys):
    spatial, temporal = (of_own(stream, own) for stream in CONFIGS)

    assert (spatial.recipe, temporal.recipe) == ("own", "own")
    assert (spatial.input, temporal.input) == ("rgb_spread", "flow_spread")
    for config in (spatial, temporal):
        assert (config.protocol, config.optimizer, config.train) == ("folds", "exact", "last-layer")
        assert (config.shown, config.augment) == ("whole", "none")
    assert capsys.readouterr().out.count("The recipe for own clips: ") == 2


def test_the_paragraph_says_network_weights_and_how_much_is_seen(own, folders, capsys):
    (folders[1] / NAMES["mobilenet"][0]).touch()

    of_own("spatial", own)

    said = capsys.readouterr().out
    for part in ("mobilenet sees 8 whole frames", "128 pixels", NAMES["mobilenet"][0], "folds over groups"):
        assert part in said


def test_a_clip_has_no_more_fields_than_the_videos_usually_have(own):
    # Clips of five frames have four fields.
    assert of_own("temporal", own).length == 4


def test_words_that_say_where_and_on_what_leave_the_recipe_on(own, tmp_path):
    words = ["--runs", str(tmp_path), "--seed", "7", "--split=1", "--threads", "1", "--again", "--dry-run"]

    config = of_own("temporal", own, *words)

    assert (config.recipe, config.seed, config.dry_run) == ("own", 7, True)


@pytest.mark.parametrize(
    "words",
    [
        ["--epochs", "3"],
        ["--epochs=3"],
        ["--augment", "none"],
        ["--backbone", "small"],
        ["--balance"],
        ["--batch-size", "2"],
    ],
)
@pytest.mark.parametrize("stream", CONFIGS)
def test_an_option_that_shapes_the_training_turns_it_off(own, stream, words, capsys):
    config = of_own(stream, own, *words)

    assert (config.recipe, config.protocol, config.shown) == ("", "validation", "pixels")
    assert not capsys.readouterr().out


@pytest.mark.parametrize("stream", CONFIGS)
def test_a_crop_that_would_show_a_hole_of_real_frames_shows_most_of_them_and_says_so(own, stream, capsys):
    config = of_own(stream, own, "--crop-size", "32")

    assert (config.recipe, config.crop_size, config.shown) == ("", 32, "most")
    assert "would show 50% of the frames' short side" in capsys.readouterr().out
    assert of_own(stream, own, "--crop-size", "32", "--shown", "pixels").shown == "pixels"


def test_a_recipe_that_is_asked_for_may_be_departed_from(own):
    config = of_own("temporal", own, "--recipe", "own", "--length", "3")

    assert (config.recipe, config.length, config.optimizer) == ("own", 3, "exact")


def test_the_quick_recipe_looks_at_half_as_much(own):
    full, quick = (of_own("spatial", own, "--recipe", name).length for name in ("own", "own-quick"))

    assert quick == full // 2


@pytest.mark.parametrize("stream", CONFIGS)
def test_the_built_in_data_set_keeps_its_own_defaults(stream, capsys):
    for words in ([], ["--dataset", "shapes"]):
        config = options_of(stream, *words)

        assert (config.recipe, config.protocol, config.crop_size) == ("", "validation", 64)
    assert not capsys.readouterr().out


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("stream", CONFIGS)
def test_published_data_sets_take_the_recipe_of_their_literature(name, stream, capsys):
    config = options_of(stream, "--dataset", name)

    assert (config.recipe, config.dataset) == (PUBLISHED[name][stream], name)
    for option, value in RECIPES[config.recipe].options(stream).items():
        if option not in ("dataset", "recipe", "weights"):
            assert getattr(config, option) == value
    assert config.recipe in capsys.readouterr().out


def test_the_mission_is_kept_on_ucf101_spatial_pretrained_and_temporal_from_scratch():
    assert options_of("spatial", "--dataset", "ucf101").weights not in (None, "", "none")
    temporal = options_of("temporal", "--dataset", "ucf101")
    assert temporal.weights == "none" or temporal.backbone not in NAMES  # For this one there are none to start from.


def test_without_pretrained_weights_a_small_network_learns_from_scratch(own, capsys):
    config = of_own("spatial", own, "--weights", "none")

    assert (config.weights, config.optimizer, config.shown) == ("none", "adam", "most")
    assert config.crop_size <= 64
    assert "Without pretrained weights" in capsys.readouterr().out


def test_from_scratch_a_batch_is_no_larger_than_a_few_clips_can_fill(own, tmp_path):
    config = of_own("spatial", own, "--weights", "none")

    assert config.batch_size <= 2


def test_help_shows_the_plain_defaults_and_says_no_paragraph(own, capsys):
    with pytest.raises(SystemExit):
        of_own("spatial", own, "--help")

    assert "The recipe for own clips" not in capsys.readouterr().out


def test_clips_that_are_not_prepared_are_told_so_and_nothing_else(tmp_path, capsys):
    with pytest.raises((ValueError, FileNotFoundError), match=r"\./run prepare"):
        train_spatial(["--dataset", "mine", "--root", str(tmp_path / "nothing"), "--runs", str(tmp_path)])

    assert "The recipe" not in capsys.readouterr().out


def test_exact_and_folds_belong_together(own):
    for words in (["--optimizer", "exact"], ["--protocol", "folds"]):
        with pytest.raises((ValueError, SystemExit)):
            of_own("temporal", own, *words)


def test_the_named_folder_comes_before_the_projects_and_that_before_keras_cache(folders):
    assert find_imagenet("mobilenet") is None
    for place in reversed(folders):
        (place / NAMES["mobilenet"][0]).touch()

        found = find_imagenet("mobilenet")

        assert found
        assert found.path == place / NAMES["mobilenet"][0]


def test_the_other_name_of_a_file_is_known_too(folders):
    (folders[2] / NAMES["mobilenet"][1]).touch()

    assert find_imagenet("mobilenet").path.name == NAMES["mobilenet"][1]
    assert find_imagenet("mobilenet_v2") is None


def test_without_a_named_folder_the_projects_is_the_first(folders, monkeypatch):
    monkeypatch.delenv("TWO_STREAM_WEIGHTS")

    assert imagenet_files.weight_folders() == folders[1:]


def test_a_network_whose_weights_are_at_hand_is_taken_and_the_better_one_of_two(own, folders):
    (folders[0] / NAMES["mobilenet_v2"][0]).touch()
    assert of_own("spatial", own).backbone == "mobilenet_v2"

    (folders[2] / NAMES["mobilenet"][0]).touch()
    assert of_own("spatial", own).backbone == "mobilenet"
