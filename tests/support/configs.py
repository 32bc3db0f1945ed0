"""The default config, and changes to it."""

import json
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


PHANTOM = {"phantom": {"shape": [12, 320, 320], "seed": 1}}


# Without its preset, so what a test writes is all there is; and with patches that fit into the tests' small images
DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text())
del DEFAULT["preset"]
DEFAULT["search"]["regions"]["net"]["input_size"] = [64, 128]


def changed(path, value):
    """The default config with one key changed, ``path`` as ``data.train``."""
    values = json.loads(json.dumps(DEFAULT))
    *parents, last = path.split(".")
    node = values
    for part in parents:
        node = node[part]
    node[last] = value
    return values
