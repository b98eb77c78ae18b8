import numpy as np
import pytest

import tf_cosearch as cs
from tf_cosearch import testing
from tf_cosearch.tasks.keyword_spotting import KeywordSpotting
from tf_cosearch.tasks.speech import tones
from tf_cosearch.training import datasets


class TestKeywordSpotting(testing.TaskSuite):
    """Its head is that of classification, so that what takes long is slow."""

    task = KeywordSpotting(words=("no", "yes"), bands=12)
    wrong = (np.full(32, 4), np.full(32, -1), np.zeros(31, int))

    def data(self):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(32, *self.image)).astype(np.float32)
        return x, np.arange(32) % self.classes

    def perfect(self, targets):
        return 20 * np.eye(self.classes)[targets]

    @pytest.mark.slow
    def test_a_training_ends_in_an_int8_file_that_is_measured(self):
        super().test_a_training_ends_in_an_int8_file_that_is_measured()

    @pytest.mark.slow
    def test_shared_weights_answer_as_a_network_alone(self):
        super().test_shared_weights_answer_as_a_network_alone()


def test_clips_of_a_folder_are_features_and_words(tmp_path):
    tones.write(tmp_path, clips=10)
    task = cs.tasks.make(
        {"name": "keyword_spotting", "bands": 8, "words": ["up", "low"]}
    )
    data = datasets.load(f"wav:{tmp_path}", task=task)
    assert (data.input_shape, data.classes) == ((49, 8, 1), 4)
    # Noise, other words, low and up; eight speakers in ten are trained on.
    assert np.bincount(data.train[1]).tolist() == [8] * 4
    assert np.bincount(data.validation[1]).tolist() == [1] * 4
    assert len(data.test[0]) == 4
    made = datasets.load("tones:10", task=task)
    np.testing.assert_array_equal(made.train[0], data.train[0])
    part = datasets.load("tones:10", task=task, train_size=8)
    assert np.bincount(part.train[1]).tolist() == [2] * 4


def test_the_space_of_keywords_is_for_them():
    space = cs.SearchSpace.load("keywords")
    assert space.task == KeywordSpotting()
    assert space.network_space.input_shape == space.task.shape


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"words": ["yes"]}, "words must be two or more different"),
        ({"words": ["yes", "yes"]}, "Received: .'yes', 'yes'."),
        ({"words": [True, False]}, "YAML takes yes, no, on and off"),
        ({"words": "yes"}, "words must be two or more"),
        ({"bands": 0}, "`bands` must be an integer of at least 1"),
        ({"band": 3}, "Did you mean 'bands'"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        cs.tasks.make({"name": "keyword_spotting", **options})


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("wav:", FileNotFoundError, "wav:FOLDER must exist. Received: ''"),
        ("wav:nowhere", FileNotFoundError, "must exist. Received: 'nowhere'"),
        ("wav:setup.py", NotADirectoryError, "folder of .wav files a word"),
        ("tones:many", ValueError, "must be a number.*Received: 'many'"),
        ("tones:15", ValueError, "clips must be a multiple of 10"),
    ],
)
def test_data_that_are_not_there_are_refused(spec, error, message):
    with pytest.raises(error, match=message):
        datasets.load(spec, task=KeywordSpotting())


def test_features_have_the_size_that_options_say():
    with pytest.raises(ValueError, match=r"features are \(49, 10\)"):
        datasets.load("tones", image_size=(8, 8), task=KeywordSpotting())
    data = datasets.load(
        "tones:10", image_size=(49, 10), task=KeywordSpotting()
    )
    assert data.input_shape == (49, 10, 1)
