from numpy.random import SeedSequence

from genenet.core.random_streams import Stream


def test_the_numbers_of_streams_stay() -> None:
    """Another number would give other results for the same seed."""
    assert {stream.name: stream.value for stream in Stream} == {
        "WEIGHTS_AND_DROPOUT": 1,
        "VOXELS_OF_CLASSES": 2,
        "AUGMENTATION": 3,
        "PARENTS": 4,
        "GREEDY_ENSEMBLES": 5,
        "INTERVALS": 7,
        "CALIBRATION": 8,
        "TRIAL_DRAWS": 9,
        "LABELLED_PATCHES": 10,
        "NORM_STATISTICS": 12,
        "DEEP_SUPERVISION": 13,
        "GREY_VALUES": 14,
        "FIRST_LOOK": 15,
        "SURROGATE": 16,
        "INHERITED_WEIGHTS": 17,
        "ADAPTATION": 18,
        "SUGGESTED_BOXES": 20,
    }


def test_a_stream_is_its_number_for_numpy() -> None:
    one, other = (SeedSequence(7, spawn_key=(first, 2)) for first in (Stream.AUGMENTATION, 3))
    assert one.generate_state(4).tolist() == other.generate_state(4).tolist()
