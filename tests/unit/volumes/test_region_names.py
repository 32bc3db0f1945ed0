"""The region in the name of a labelled image is read as it was written."""

import pytest

from genenet.volumes.region_names import file_and_region, region_text


@pytest.mark.parametrize("file", ["a.tif", "data [new]/a.tif", "a[1:2, :, :].tif", "a.zarr and 3 more"])
@pytest.mark.parametrize("region", [None, ((0, 8), None, (20, 270)), ((1, 2), (3, 4), (5, 6))])
def test_a_name_is_a_file_and_a_region(file, region):
    assert file_and_region(file + region_text(region)) == (file, region)


def test_a_region_without_ends_is_the_whole_image():
    assert region_text(None) == region_text((None, None, None)) == ""
