"""What a file says about itself is checked against what is in it."""

import json
import time
import tracemalloc

import numpy as np
import pytest
import tifffile
import zarr

from genenet.config.settings import ImageFiles
from genenet.core.errors import InputError
from genenet.core.geometry import Box
from genenet.volumes.opening import open_files, open_volume

IMAGE = np.random.default_rng(0).integers(0, 100, (6, 40, 50)).astype("uint8")
SCHEMA = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


def whole(volume):
    return volume.read(Box.of_shape(volume.shape))


def ome_xml(n_planes, files=None):
    """OME-XML as Bio-Formats writes it: each plane names the file that it lies in."""
    planes = ""
    for z in range(n_planes):
        uuid = f'<UUID FileName="{files[z]}">urn:uuid:{files[z]}</UUID>' if files else ""
        planes += f'<TiffData FirstZ="{z}" IFD="{0 if files else z}" PlaneCount="1">{uuid}</TiffData>'
    pixels = (
        f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="50" SizeY="40" SizeZ="{n_planes}" '
        'SizeC="1" SizeT="1" PhysicalSizeX="10" PhysicalSizeXUnit="nm" PhysicalSizeY="10" PhysicalSizeYUnit="nm" '
        'PhysicalSizeZ="40" PhysicalSizeZUnit="nm">'
    )
    channel = '<Channel ID="Channel:0:0" SamplesPerPixel="1"/>'
    image = f'<Image ID="Image:0">{pixels}{channel}{planes}</Pixels></Image>'
    return f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{SCHEMA}" {{uuid}}>{image}</OME>'


def write_multi_file(folder, prefix="s", image=IMAGE):
    """Six files of a slice, each naming all six."""
    names = [f"{prefix}{z}.ome.tif" for z in range(len(image))]
    for name, slice_ in zip(names, image, strict=True):
        xml = ome_xml(len(image), names).format(uuid=f'UUID="urn:uuid:{name}"')
        tifffile.imwrite(folder / name, slice_, description=xml, metadata=None, compression="zlib")
    return [folder / name for name in names]


def test_a_folder_of_a_multi_file_ome_tiff_is_one_image(tmp_path):
    paths = write_multi_file(tmp_path)
    for given in (tmp_path, paths, paths[2]):
        volume = open_volume(given)
        np.testing.assert_array_equal(whole(volume), IMAGE)
        assert volume.voxel_size_nm == (40, 10, 10)


def test_two_multi_file_images_are_stacked(tmp_path):
    write_multi_file(tmp_path, "a")
    write_multi_file(tmp_path, "b", IMAGE[:, ::-1])
    np.testing.assert_array_equal(whole(open_volume(tmp_path)), np.concatenate([IMAGE, IMAGE[:, ::-1]]))


def test_some_of_the_files_of_an_image_are_refused(tmp_path):
    paths = write_multi_file(tmp_path)
    with pytest.raises(
        InputError, match=r"s0\.ome\.tif: its image lies in 6 files, of which s3\.ome\.tif isn't"
    ):
        open_volume(paths[:3])


def write_pages(path, description):
    with tifffile.TiffWriter(path) as tif:
        for z, page in enumerate(IMAGE):
            tif.write(page, description=description if z == 0 else None, metadata=None, contiguous=False)


@pytest.mark.parametrize(
    ("name", "description", "n"),
    [
        ("OME", ome_xml(1).format(uuid=""), 1),
        ("ImageJ", "ImageJ=1.54f\nimages=3\nslices=3\nunit=nm\nspacing=40.0\nloop=false\n", 3),
    ],
    ids=["OME", "ImageJ"],
)
def test_pages_that_the_metadata_leave_out_are_read(tmp_path, name, description, n, caplog):
    write_pages(tmp_path / "a.tif", description)
    volume = open_volume(tmp_path / "a.tif")
    np.testing.assert_array_equal(whole(volume), IMAGE)
    assert f"its {name} metadata describe {n} slices, but it has 6, and all are read" in caplog.text
    assert volume.grid.sizes_nm[0] == 40


def test_an_imagej_stack_that_grew(tmp_path, caplog):
    """In one piece, as ImageJ writes it."""
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, imagej=True, metadata={"axes": "ZYX"})
    content = (tmp_path / "a.tif").read_bytes()
    for key in (b"images", b"slices"):
        content = content.replace(key + b"=6", key + b"=3")
    (tmp_path / "a.tif").write_bytes(content)
    np.testing.assert_array_equal(whole(open_volume(tmp_path / "a.tif")), IMAGE)
    assert "its ImageJ metadata describe 3 slices, but it has 6" in caplog.text


WAYS = [{}, {"contiguous": True}, {"compression": "zlib"}, {"compression": "zlib", "tile": (16, 16)}]
CLAIMS = {
    "ImageJ": "ImageJ=1.54f\nimages=9\nslices=9\n",
    "ImageJ, two channels": "ImageJ=1.54f\nimages=12\nslices=6\nchannels=2\n",
    "Python": '{"shape": [9, 40, 50]}',
}


@pytest.mark.parametrize("n_pages", [6, 1])
@pytest.mark.parametrize("program", CLAIMS)
@pytest.mark.parametrize("options", WAYS)
def test_more_images_are_described_than_there_are(tmp_path, options, program, n_pages):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        for z, page in enumerate(IMAGE[:n_pages]):
            more = {"contiguous": False, **options}
            description = CLAIMS[program] if z == 0 else None
            tif.write(page, description=description, metadata=None, photometric="minisblack", **more)
    n = 12 if "two" in program else 9
    with pytest.raises(
        InputError, match=f"its {program[:6]} metadata describe {n} slices, but it has {n_pages};"
    ) as error:
        open_volume(tmp_path / "a.tif")
    assert "\n" not in str(error.value)


def test_headers_between_pages_are_no_slices(tmp_path):
    """More bytes of headers than a page has; read in one piece, each page but the first would be shifted."""
    small = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        for z, page in enumerate(small):
            description = '{"shape": [41, 8, 8]}' if z == 0 else None
            tif.write(
                page, description=description, metadata=None, photometric="minisblack", contiguous=False
            )
    with pytest.raises(InputError, match="its Python metadata describe 41 slices, but it has 40;"):
        open_volume(tmp_path / "a.tif")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_an_image_made_smaller_with_its_old_description(tmp_path, compression):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        for z, page in enumerate(IMAGE[:, ::2, ::2]):
            description = '{"shape": [6, 40, 50]}' if z == 0 else None
            tif.write(
                np.ascontiguousarray(page), description=description, metadata=None, compression=compression
            )
    np.testing.assert_array_equal(whole(open_volume(tmp_path / "a.tif")), IMAGE[:, ::2, ::2])


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_an_ome_tiff_describes_more_pages_than_it_has(tmp_path, compression):
    xml = ome_xml(9).format(uuid="")
    tifffile.imwrite(tmp_path / "a.ome.tif", IMAGE, description=xml, metadata=None, compression=compression)
    with pytest.raises(
        InputError, match=r"a\.ome\.tif: 3 of the 9 pages that its metadata describe are missing"
    ):
        open_volume(tmp_path / "a.ome.tif")


def test_numbers_of_imagej_that_are_none(tmp_path):
    write_pages(tmp_path / "a.tif", "ImageJ=1.54f\nimages=some\nslices=many\n")
    with pytest.raises(InputError, match=r"a\.tif: a damaged TIFF"):
        open_volume(tmp_path / "a.tif")


def write_sizes(folder, sizes):
    """A slice for each size, of which those along y and x are equal; None says nothing. Return the paths."""
    paths = [folder / f"{z}.tif" for z in range(len(sizes))]
    for path, size in zip(paths, sizes, strict=True):
        said = {} if size is None else {"resolution": (1 / size, 1 / size), "metadata": {"unit": "nm"}}
        tifffile.imwrite(path, IMAGE[0], imagej=True, **said)
    return paths


@pytest.mark.parametrize("given", ["folder", "files"])
def test_a_stack_of_different_voxel_sizes_is_refused(tmp_path, given):
    paths = write_sizes(tmp_path, [None, 5, 5.01, 10])
    message = r"3\.tif: has voxels of \? x 10 x 10 nm \(z, y, x\), but .*1\.tif has \? x 5 x 5 nm; leave out"
    with pytest.raises(InputError, match=message) as error:
        open_volume(tmp_path if given == "folder" else paths)
    assert "\n" not in str(error.value)


def test_the_users_size_counts_more_than_those_of_files(tmp_path):
    paths = write_sizes(tmp_path, [None, 5, 10])
    files = ImageFiles(image=paths, labels=None, region=None, voxel_size_nm=(40, 5, 5))
    assert open_files(files).image.voxel_size_nm == (40, 5, 5)


def test_sizes_of_labels_count_nowhere(tmp_path, caplog):
    volume = open_volume(write_sizes(tmp_path, [None, 5, 10]), is_grey=False)
    assert volume.shape == (3, 40, 50)
    assert caplog.text == ""


@pytest.mark.parametrize("sizes", [[5, None, None], [None, None, 5], [5, None, 5.01]])
def test_a_size_that_some_files_of_a_stack_say_holds_for_all(tmp_path, sizes, caplog):
    volume = open_volume(write_sizes(tmp_path, sizes))
    assert volume.grid.sizes_nm == (None, pytest.approx(5), pytest.approx(5))
    (record,) = caplog.records
    known, unknown = "? x 5 x 5", "? x ? x ?"
    first, name, other = (known, "1.tif", unknown) if sizes[0] else (unknown, "2.tif", known)
    assert record.getMessage().endswith(
        f"0.tif has voxels of {first} nm (z, y, x), {tmp_path / name} of {other}; what is known holds for all"
    )


def test_sizes_along_different_axes_complete_each_other(tmp_path, caplog):
    metadata = {"axes": "ZYX", "unit": "nm", "spacing": 40}
    write_sizes(tmp_path, [5, 5])
    tifffile.imwrite(tmp_path / "0.tif", IMAGE, imagej=True, resolution=(0.2, 0.2), metadata=metadata)
    assert open_volume(tmp_path).voxel_size_nm == pytest.approx((40, 5, 5))
    assert "has voxels of 40 x 5 x 5 nm (z, y, x)" in caplog.text


def test_planar_rgb_that_was_a_stack(tmp_path, caplog):
    """``tifffile.imwrite`` takes three slices for three colours, but writes the array's shape beside them."""
    with pytest.warns(DeprecationWarning, match="stored as RGB"):
        tifffile.imwrite(tmp_path / "a.tif", IMAGE[:3])
    with pytest.warns(DeprecationWarning, match="stored as RGB"):
        tifffile.imwrite(tmp_path / "b.tif", IMAGE[:4], compression="zlib")
    for name, n in (("a.tif", 3), ("b.tif", 4)):
        np.testing.assert_array_equal(whole(open_volume(tmp_path / name)), IMAGE[:n])
    assert (
        'but its description says 3 x 40 x 50; they are read as slices (tifffile writes stacks by photometric="mi'
        in (caplog.text)
    )


def test_colours_stay_colours(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", IMAGE[:3].transpose(1, 2, 0), photometric="rgb")
    tifffile.imwrite(tmp_path / "b.tif", IMAGE[:3], photometric="rgb", planarconfig="separate", metadata=None)
    for name in ("a.tif", "b.tif"):
        with pytest.raises(InputError, match=rf"{name}: is an RGB image; convert to greyscale"):
            open_volume(tmp_path / name)


def test_files_in_the_shells_order(tmp_path, caplog):
    paths = [tmp_path / f"slice_{z}.tif" for z in range(1, 13)]
    for z, path in enumerate(paths):
        tifffile.imwrite(path, IMAGE[0] + np.uint8(z), photometric="minisblack")
    shells = sorted(paths)
    volume = open_volume(shells)
    np.testing.assert_array_equal(volume.read(Box((1, 0, 0), (2, 40, 50)))[0], IMAGE[0] + np.uint8(9))
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == (
        f"{tmp_path / 'slice_10.tif'}: stands where slice_2.tif would in natural order; files are stacked in the order "
        "given"
    )
    caplog.clear()
    open_volume(paths)
    open_volume(tmp_path)
    assert not caplog.records


def quickly_refused(path, message):
    tifffile.imwrite(path.parent / "small.tif", IMAGE, photometric="minisblack", compression="zlib")
    whole(open_volume(path.parent / "small.tif"))  # imports
    tracemalloc.start()
    began = time.monotonic()
    try:
        with pytest.raises(InputError, match=message) as error:
            open_volume(path)
        seconds, peak = time.monotonic() - began, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "\n" not in str(error.value)
    assert seconds < 5  # a tenth of it on a quiet machine
    assert peak < 200e6


def claim(path, tag, value):
    """Change a tag of the only page, so that it claims something else than what is there."""
    with tifffile.TiffFile(path, mode="r+b") as tif:
        tif.pages.first.tags[tag].overwrite(value)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16), "compression": "zlib"}])
def test_a_tiff_that_claims_too_much(tmp_path, options):
    tifffile.imwrite(tmp_path / "a.tif", IMAGE[0], photometric="minisblack", metadata=None, **options)
    for tag in ("ImageWidth", "ImageLength"):
        claim(tmp_path / "a.tif", tag, 10**7)
    if "tile" not in options:
        claim(tmp_path / "a.tif", "RowsPerStrip", 10**7)
    quickly_refused(tmp_path / "a.tif", r"a\.tif: .*(truncated|pieces|damaged)")


def test_a_zarr_with_huge_chunks(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", data=IMAGE)
    metadata = json.loads((tmp_path / "a.zarr/zarr.json").read_text())
    metadata["shape"] = [10**4] * 3
    metadata["chunk_grid"]["configuration"]["chunk_shape"] = [10**4] * 3
    (tmp_path / "a.zarr/zarr.json").write_text(json.dumps(metadata))
    quickly_refused(tmp_path / "a.zarr", r"a\.zarr: is stored in pieces of .* voxels, 1e\+03 GB each")
