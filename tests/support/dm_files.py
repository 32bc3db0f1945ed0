"""DM3 and DM4 files, written tag by tag: no library writes them.

The layout is the published one: a header (version, size, byte order), then groups of tags. A tag has a kind
(20 group, 21 data), a name and its value; numbers that describe are big-endian, 4 bytes in DM3 and 8 in DM4,
and values are little-endian. An image is Data, DataType, Dimensions (x first) and Calibrations.
"""

import struct

import numpy as np

DATA_TYPES = {"int16": 1, "float32": 2, "uint8": 6, "int32": 7, "int8": 9, "uint16": 10}
ENCODED = {
    "int16": 2,
    "int32": 3,
    "uint16": 4,
    "uint32": 5,
    "float32": 6,
    "float64": 7,
    "int8": 9,
    "uint8": 10,
}


class Writer:
    def __init__(self, version):
        self.version, self.number = version, ">i" if version == 3 else ">q"

    def n(self, *values):
        return b"".join(struct.pack(self.number, v) for v in values)

    def tag(self, kind, name, content):
        size = struct.pack(">q", len(content)) if self.version == 4 else b""
        return struct.pack(">bh", kind, len(name)) + name.encode() + size + content

    def group(self, entries):
        """Entries are pairs of name and value: a list is a group, other values are data."""
        tags = [
            self.tag(20, name, self.group(value))
            if isinstance(value, list)
            else self.tag(21, name, b"%%%%" + self.data(value))
            for name, value in entries
        ]
        return b"\1\0" + self.n(len(tags)) + b"".join(tags)

    def data(self, value):
        if isinstance(value, str):  # an array of UTF-16 letters
            text = value.encode("utf-16-le")
            return self.n(3, 20, 4, len(text) // 2) + text
        if isinstance(value, np.ndarray):
            return self.n(3, 20, ENCODED[value.dtype.name], value.size) + value.tobytes()
        return self.n(1, ENCODED[value.dtype.name]) + value.tobytes()

    def file(self, root):
        content = self.group(root)
        return struct.pack(">i", self.version) + self.n(len(content)) + struct.pack(">i", 1) + content


def image(voxels, scales, units):
    """The tags of an image; scales and units along x, y, z."""
    size = [("", np.uint32(n)) for n in voxels.shape[::-1]]
    dimensions = [
        ("", [("Origin", np.float32(0)), ("Scale", np.float32(s)), ("Units", u)])
        for s, u in zip(scales, units, strict=True)
    ]
    brightness = [("Origin", np.float32(0)), ("Scale", np.float32(1)), ("Units", "")]
    data = [
        ("Calibrations", [("Brightness", brightness), ("Dimension", dimensions)]),
        ("Data", voxels.reshape(-1)),
        ("DataType", np.uint32(DATA_TYPES[voxels.dtype.name])),
        ("Dimensions", size),
        ("PixelDepth", np.uint32(voxels.itemsize)),
    ]
    return [("ImageData", data), ("ImageTags", []), ("Name", "sample")]


def write_dm(path, *volumes, version, scales=(10, 10, 50), units=("nm", "nm", "nm")):
    """Write images after a thumbnail, as Digital Micrograph does."""
    thumbnail = image(np.zeros((4, 6), np.int32), (1, 1), ("", ""))
    images = [image(v, scales[: v.ndim], units[: v.ndim]) for v in volumes]
    root = [
        ("ImageList", [("", tags) for tags in [thumbnail, *images]]),
        ("Thumbnails", [("", [("ImageIndex", np.uint32(0))])]),
    ]
    path.write_bytes(Writer(version).file(root))
