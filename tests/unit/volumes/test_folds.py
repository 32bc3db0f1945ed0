"""How folds cut labelled images: the parts cover an image exactly, and share no voxel."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from genenet.config.folds import FoldPlan
from genenet.config.settings import ImageFiles, PrepareSettings
from genenet.core.errors import InputError
from genenet.volumes.folds import SLICES_FOR_3D, Slabs, cut, folded


@given(st.integers(0, 50), st.integers(1, 300), st.integers(2, 12))
@settings(max_examples=60, deadline=None)
def test_parts_of_an_interval_are_neighbours_of_nearly_equal_size(start, size, n):
    parts = cut((start, start + size), n)
    assert [*parts[0][:1], *(stop for _, stop in parts)] == [*(a for a, _ in parts), start + size]
    sizes = {stop - first for first, stop in parts}
    assert max(sizes) - min(sizes) <= 1


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 30)), min_size=3, max_size=3), st.integers(2, 7))
@settings(max_examples=60, deadline=None)
def test_each_voxel_is_validated_on_once_and_taught_in_all_other_folds(axes, n):
    whole = [(start, start + size) for start, size in axes]
    slabs = Slabs(whole, n, 1)
    if slabs.n_fitting < n:
        return
    validated, taught = (np.zeros([stop for _, stop in whole], int) for _ in range(2))
    for fold in range(n):
        box = tuple(slice(*ends) for ends in slabs.region(slabs.ends[fold]))
        seen = np.zeros_like(taught)
        for ends in slabs.around(fold):
            seen[tuple(slice(*each) for each in slabs.region(ends))] += 1
        assert not seen[box].any()
        validated[box] += 1
        taught += seen
    inside = tuple(slice(*ends) for ends in whole)
    assert (validated[inside] == 1).all()
    assert (taught[inside] == n - 1).all()
    assert validated.sum() == np.prod([size for _, size in axes])


@pytest.mark.parametrize(
    ("shape", "n", "axis", "n_fitting"),
    [
        ((5, 900, 900), 5, 0, 28),
        ((4, 900, 900), 5, 1, 28),
        ((1, 100, 900), 5, 2, 28),
        ((1, 100, 130), 5, 2, 4),
    ],
)
def test_the_axis_is_z_if_there_are_enough_slices_otherwise_the_longer_side(shape, n, axis, n_fitting):
    slabs = Slabs([(0, size) for size in shape], n, 32)
    assert (slabs.axis, slabs.n_fitting) == (axis, n_fitting)


@pytest.mark.parametrize(
    ("shape", "n", "axis"),
    [
        ((40, 900, 900), 5, 0),
        ((39, 900, 900), 5, 1),  # slabs of 7 and 8 slices
        ((39, 100, 140), 5, 0),  # along x they would be narrower than 32
        ((39, 100, 160), 5, 2),
        ((4, 100, 140), 5, 2),
    ],
)
def test_slabs_of_3d_networks_have_some_slices_unless_they_would_be_narrow(shape, n, axis):
    assert Slabs([(0, size) for size in shape], n, 32, SLICES_FOR_3D).axis == axis


def image(folder, name, shape):
    files = [folder / f"{name}.tif", folder / f"{name}_labels.tif"]
    for path in files:
        tifffile.imwrite(path, np.zeros(shape, np.uint8), photometric="minisblack")
    return ImageFiles(image=files[:1], labels=files[1:], region=None)


def regions(images, plan, split, smallest=8, sees_depth=False):
    found = folded(
        PrepareSettings(
            images=images,
            classes=["a", "b"],
            ignore_label=None,
            voxel_size_nm=(1, 1, 1),
            smallest_input_voxels=smallest,
            split=split,
            sees_depth=sees_depth,
            folds=plan,
        )
    )
    return [(Path(each.image[0]).stem, each.region) for each in found]


@pytest.mark.parametrize(("sees_depth", "warns"), [(False, False), (True, True)])
def test_thin_slabs_of_3d_networks_are_warned_of(tmp_path, caplog, sees_depth, warns):
    """Three slabs of the smallest input along y or x don't fit, so z it is."""
    files, plan = image(tmp_path, "a", (7, 40, 40)), FoldPlan(n=3, by="region", fold=1)
    ((_, region),) = regions([files], plan, "validation", 30, sees_depth)
    assert region == ((2, 4), (0, 40), (0, 40))
    message = (
        "a.tif: its 3 folds are slabs of 2 slices, which 3D networks see reflected along z; use fewer folds"
    )
    assert (message in caplog.text) == warns


def test_images_are_cut_each_along_its_own_axis(tmp_path):
    images = [image(tmp_path, "a", (4, 40, 40)), image(tmp_path, "b", (1, 40, 80))]
    images[0] = images[0].model_copy(update={"region": ((1, 4), None, None)})
    plan = FoldPlan(n=3, by="region", fold=1)
    xy = ((0, 40), (0, 40))
    assert regions(images, plan, "validation") == [
        ("a", ((2, 3), *xy)),
        ("b", ((0, 1), (0, 40), (26, 53))),
    ]
    assert regions(images, plan, "train") == [
        ("a", ((1, 2), *xy)),
        ("a", ((3, 4), *xy)),
        ("b", ((0, 1), (0, 40), (0, 26))),
        ("b", ((0, 1), (0, 40), (53, 80))),
    ]


@pytest.mark.parametrize("by", ["region", "image"])
def test_what_all_folds_validate_on_is_in_the_order_of_the_folds(tmp_path, by):
    images = [image(tmp_path, name, (3, 40, 40)) for name in "abcd"]
    whole = regions(images, FoldPlan(n=3, by=by), "validation")
    one_by_one = [regions(images, FoldPlan(n=3, by=by, fold=fold), "validation") for fold in range(3)]
    assert whole == [part for of_fold in one_by_one for part in of_fold]
    assert len(set(whole)) == (12 if by == "region" else 4)


def test_by_image_each_image_is_validated_on_once_and_taught_in_all_other_folds(tmp_path):
    images = [image(tmp_path, name, (1, 40, 40)) for name in "abc"]
    of_folds = [
        [
            {name for name, _ in regions(images, FoldPlan(n=2, by="image", fold=fold), split)}
            for fold in (0, 1)
        ]
        for split in ("train", "validation")
    ]
    assert of_folds == [[{"b"}, {"a", "c"}], [{"a", "c"}, {"b"}]]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            (1, 40, 90),
            r"1 x 40 x 90 voxels \(z, y, x\) are too few for data.folds.n 5: .* 3 would fit; lower n to 3",
        ),
        ((1, 40, 40), r"so 1 would fit; use by: image, or data.validation"),
    ],
)
def test_an_image_that_is_too_small_says_how_many_slabs_fit(tmp_path, shape, message):
    with pytest.raises(InputError, match=message):
        regions([image(tmp_path, "a", shape)], FoldPlan(n=5, by="region", fold=0), "train", smallest=30)


def test_as_many_slabs_as_the_message_says_do_fit(tmp_path):
    images = [image(tmp_path, "a", (1, 40, 90))]
    parts = regions(images, FoldPlan(n=3, by="region", fold=1), "train", smallest=30)
    assert [region[2] for _, region in parts] == [(0, 30), (60, 90)]


def test_slabs_of_a_resampled_image_count_as_large_as_they_become(tmp_path):
    small = image(tmp_path, "a", (1, 40, 90)).model_copy(
        update={"voxel_size_nm": (1, 2, 2)}
    )  # the data: 1 nm
    assert len(regions([small], FoldPlan(n=5, by="region"), "validation", smallest=30)) == 5
    with pytest.raises(InputError, match="a slice, or 15 voxels along y or x, so 6 would fit"):
        regions([small], FoldPlan(n=7, by="region"), "validation", smallest=30)
