from collections.abc import Iterable

import pytest

from genenet.core.choices import Choice, NoOptions, Table


def entry(name: str, path: str = "math:sqrt") -> Choice:
    return Choice(name, f"text of {name}", path)


def names(entries: Iterable[str]) -> Table[Choice]:
    return Table("colour", [entry(name) for name in entries])


def test_an_entry_imports_its_function_when_it_is_asked() -> None:
    assert entry("root").function()(9) == 3
    with pytest.raises(ImportError):
        entry("missing", "genenet.nowhere:function").function()
    with pytest.raises(AttributeError):
        entry("missing", "math:no_such_function").function()
    assert entry("root").options is NoOptions


def test_entries_keep_their_order_and_make_one_line_of_help() -> None:
    table = names(["red", "green"])
    assert list(table) == ["red", "green"]
    assert len(table) == 2
    assert table["green"].name == "green"
    assert table.text == "red: text of red; green: text of green"


def test_an_unknown_name_is_refused_with_what_is_known() -> None:
    table = names(["red", "green"])
    assert table.check("red") == "red"
    with pytest.raises(ValueError, match="^'gren' is no colour; did you mean green\\?$"):
        table.check("gren")
    with pytest.raises(ValueError, match="^'blue' is no colour; known are red, green$"):
        table.check("blue")


def test_two_entries_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two entries of the table of colour are named red"):
        names(["red", "red"])
