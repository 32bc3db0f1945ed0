"""What is made from the config's models and tables is up to date (make generated)."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def generated():
    spec = importlib.util.spec_from_file_location("generated", ROOT / "docs/generated.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_schema_and_tables_are_up_to_date(generated):
    due = [str(path.relative_to(ROOT)) for path in generated.due()]
    assert not due, f"out of date: {', '.join(due)}; run: make generated"


def test_every_table_stands_in_a_page(generated):
    pages = "".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    assert {name for _, name, _ in generated.BLOCK.findall(pages)} == set(generated.BLOCKS)


def test_a_change_is_noticed(generated):
    text = "before\n<!-- generated: metrics -->\n\nold\n\n<!-- end -->\nafter\n"
    new = generated.page(text)
    assert "| `ari` | " in new
    assert new.startswith("before\n")
    assert new.endswith("<!-- end -->\nafter\n")
    assert generated.page(new) == new
    with pytest.raises(KeyError, match="nonsense"):
        generated.page(text.replace("metrics", "nonsense"))
