"""Renew what is made from the config's models and tables: python docs/generated.py (or make generated).

These are the schema for editors, and the tables between ``<!-- generated: NAME -->`` and ``<!-- end -->`` in the pages
of the documentation. With ``--check`` nothing is written; the exit status is 1 if something is out of date.
"""

import json
import re
import sys
from pathlib import Path

from pydantic import BaseModel

from genenet.config.controls import Controls
from genenet.config.ensemble import EnsembleSettings
from genenet.config.instances import InstanceSettings
from genenet.config.model import Config
from genenet.config.postprocessing import Postprocessing
from genenet.config.presets import PRESETS, TEXTS, preset_text
from genenet.config.segmentation import Segmentation
from genenet.config.training import Trainings
from genenet.genes.baselines import BASELINES
from genenet.genes.hyperparameters import HYPERPARAMETERS, Hyperparameter
from genenet.genes.layer_parts import ACTIVATIONS, NORMS, PADDINGS, POOLINGS, SPATIAL_MODES
from genenet.metrics.table import METRICS
from genenet.volumes.formats import FORMATS, Format

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "workflow/schemas/config.schema.json"
ESCAPED = "\\|"
BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.S)


def options_table(model: type[BaseModel]) -> str:
    """Return a table of a section's keys: what they do, what they may be, their defaults."""
    return _table(("key", "what it does", "default"), _rows(model.model_json_schema(), ""))


def metrics_table() -> str:
    """Return a table of the metrics."""
    rows = [(f"`{name}`", metric.text) for name, metric in METRICS.items()]
    return _table(("score", "what it is"), rows)


def hyperparameters_table() -> str:
    """Return a table of the hyperparameters, with values by name where they are choices."""
    head = ("hyperparameter", "what it is", "read at", "values", "default")
    rows = [
        (f"`{h.name}`", h.text, h.level, _values(h), _number(h, h.default)) for h in HYPERPARAMETERS.values()
    ]
    return _table(head, rows)


def _values(h: Hyperparameter) -> str:
    return ", ".join(_number(h, i) for i in range(len(h.choices))) if h.choices else str(h.domain)


def _number(h: Hyperparameter, value: float) -> str:
    return f"`{h.word(value)}`" if h.choices else f"{value:g}"


def choices_table() -> str:
    """Return a table of what layers can be built from."""
    rows = [(f"`{n}`", f"`{e.name}`", e.text) for n, table in CHOICES.items() for e in table.values()]
    return _table(("hyperparameter", "choice", "what it is"), rows)


def baselines_table() -> str:
    """Return a table of the baselines."""
    return _table(("baseline", "what it is"), [(f"`{name}`", b.text) for name, b in BASELINES.items()])


def presets_files() -> str:
    """Return the presets as they are, with their reasons."""
    return "\n".join(f"`{n}`: {TEXTS[n]}.\n\n```yaml\n{preset_text(n)}```\n" for n in PRESETS)


def formats_table() -> str:
    """Return a table of the image formats that are read."""
    rows = [(_format(each), each.description, each.voxel_size_from) for each in FORMATS]
    return _table(("format", "what is read", "source of the voxel size"), rows)


def _format(each: Format) -> str:
    suffixes = ", ".join(f"`{suffix}`" for suffix in each.suffixes)
    return f"{each.name} ({suffixes})" if suffixes else f"{each.name} (a folder)"


CHOICES = {
    "activation": ACTIVATIONS,
    "norm": NORMS,
    "padding": PADDINGS,
    "pooling": POOLINGS,
    "spatial_mode": SPATIAL_MODES,
}
BLOCKS = {
    "hyperparameters": hyperparameters_table,
    "choices": choices_table,
    "baselines": baselines_table,
    "training": lambda: options_table(Trainings),
    "segmentation": lambda: options_table(Segmentation),
    "controls": lambda: options_table(Controls),
    "ensemble": lambda: options_table(EnsembleSettings),
    "instances": lambda: options_table(InstanceSettings),
    "postprocessing": lambda: options_table(Postprocessing),
    "metrics": metrics_table,
    "presets": presets_files,
    "formats": formats_table,
}


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', ESCAPED) for cell in line)} |\n" for line in lines)


def _rows(schema: dict, prefix: str, root: dict | None = None) -> list[tuple[str, ...]]:
    """Return a row for each key, those of a section inside after it, with their full names."""
    root, rows = root or schema, []
    for name, field in schema["properties"].items():
        inner = root.get("$defs", {}).get(field.get("$ref", "").rpartition("/")[2])
        if inner and "properties" in inner:
            rows += _rows(inner, f"{prefix}{name}.", root)
        else:
            rows.append((f"`{prefix}{name}`", _text(field), _default(field)))
    return rows


def _text(field: dict) -> str:
    """Return a key's description; the names in a list ``name: text; …`` are set as code."""
    text = field.get("description", "")
    for name in [*map(str, field.get("enum", [])), "null"]:
        text = re.sub(rf"(^|[;.:] ){re.escape(name)}: ", rf"\1`{name}`: ", text)
    return text


def _default(field: dict) -> str:
    """Return a key's default, and its other values unless the description lists all of them."""
    value, others = field.get("default"), [each for each in field.get("enum", []) if each != field["default"]]
    if others and not all(f"`{each}`: " in _text(field) for each in others):
        return f"`{value}` (or {', '.join(f'`{each}`' for each in others)})"
    if isinstance(value, bool):
        return "on" if value else "off"
    if value in ([], {}):
        return "none"
    return "`null`" if value is None else f"`{value}`"


def schema() -> str:
    """Return the JSON schema of config.yaml."""
    return json.dumps(Config.model_json_schema(), indent=1) + "\n"


def page(text: str) -> str:
    """Return a page with its tables as they should be; raises KeyError for an unknown one."""
    return BLOCK.sub(lambda m: m[1] + "\n" + BLOCKS[m[2]]() + "\n" + m[3], text)


def due() -> dict[Path, str]:
    """Return what should be in each file that is out of date."""
    wanted = {SCHEMA: schema()}
    for path in sorted((ROOT / "docs").glob("*.md")):
        wanted[path] = page(path.read_text(encoding="utf-8"))
    return {p: text for p, text in wanted.items() if p.read_text(encoding="utf-8") != text}


def main() -> int:
    """Renew, or with ``--check`` only say, what is due."""
    found = due()
    for path, text in found.items():
        print(f"{path.relative_to(ROOT)} {'is out of date' if '--check' in sys.argv else 'is renewed'}")
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
    return int("--check" in sys.argv and bool(found))


if __name__ == "__main__":
    sys.exit(main())
