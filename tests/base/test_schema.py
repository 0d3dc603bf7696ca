"""TOML into records: what is wrong is named by file, key and line, on one line."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildplug.base.errors import BuildplugError
from buildplug.base.keys import KeysOf, OneOf
from buildplug.base.schema import convert, load, unknown


@dataclass(frozen=True)
class Inner:
    size: int = 0
    names: tuple[str, ...] = ()
    pairs: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner = field(default_factory=Inner)
    many: dict[str, Inner] = field(default_factory=dict)
    yes: bool = False
    maybe: tuple[str, ...] | None = None


Colour = Annotated[str, OneOf("colour", ("red", "green"))]


@dataclass(frozen=True)
class Circle:
    shape: Literal["circle"] = "circle"
    radius: int = 0
    fill: Annotated[Colour, "The colour inside."] = "red"


@dataclass(frozen=True)
class Square:
    side: int
    shape: Literal["square"] = "square"
    fill: Colour = "red"


@dataclass(frozen=True)
class Drawing:
    figure: Circle | Square = field(default_factory=Circle)
    colours: tuple[Colour, ...] = ()


@dataclass(frozen=True)
class Adjusted:
    radius: str = ""
    others: Annotated[dict[str, Any], KeysOf((Circle, Square))] = field(default_factory=dict)


def fails(data: object, expected: str) -> None:
    with pytest.raises(BuildplugError) as caught:
        convert(Outer, data, "file.toml")
    assert str(caught.value) == f"file.toml{expected}"


def test_a_whole_record_is_read() -> None:
    data = {"name": "n", "inner": {"size": 3, "names": ["a", "b"], "pairs": [[1, 2], []]}, "many": {"x": {}},
            "yes": True, "maybe": []}  # fmt: skip
    expected = Outer("n", Inner(3, ("a", "b"), ((1, 2), ())), {"x": Inner()}, True, ())
    assert convert(Outer, data, "f") == expected


def test_what_is_left_out_has_its_default() -> None:
    assert convert(Outer, {"name": "n"}, "f") == Outer("n", Inner(), {}, False, None)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"nam": "n"}, ": unknown key 'nam'; did you mean 'name'?"),
        ({"name": "n", "qqq": 1}, ": unknown key 'qqq'; expected one of: inner, many, maybe, name, yes"),
        ({"name": "n", "inner": {"sise": 1}}, ": inner: unknown key 'sise'; did you mean 'size'?"),
        ({"name": "n", "many": {"x": {"nmes": 1}}}, ": many.x: unknown key 'nmes'; did you mean 'names'?"),
        ({}, ": expected the key 'name', found none; add name = …"),
        ({"name": 1}, ": name: expected a string, found 1"),
        ({"name": "n", "yes": 1}, ": yes: expected true or false, found 1"),
        ({"name": "n", "inner": {"size": True}}, ": inner: size: expected an integer, found True"),
        ({"name": "n", "inner": {"size": 1.0}}, ": inner: size: expected an integer, found 1.0"),
        ({"name": "n", "inner": {"names": "a"}}, ": inner: names: expected a list, found 'a'"),
        ({"name": "n", "inner": {"names": ["a", 2]}}, ": inner: names[1]: expected a string, found 2"),
        ({"name": "n", "inner": {"pairs": [[1], 2]}}, ": inner: pairs[1]: expected a list, found 2"),
        ({"name": "n", "inner": []}, ": inner: expected a table, found []"),
        ({"name": "n", "many": 5}, ": many: expected a table, found 5"),
        ({"name": "n", "many": {"x": "y"}}, ": many.x: expected a table, found 'y'"),
        ({"name": "n", "maybe": "a"}, ": maybe: expected a list, found 'a'"),
        ([], ": expected a table, found []"),
    ],
)
def test_what_is_wrong_is_named(data: object, expected: str) -> None:
    fails(data, expected)


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(BuildplugError) as caught:
        convert(Outer, {"name": ["x" * 10_000]}, "f")
    assert len(str(caught.value)) < 200


def test_hostile_keys_stay_on_one_line() -> None:
    with pytest.raises(BuildplugError) as caught:
        convert(Outer, {"name": "n", "a\nb\x1b[31m": 1}, "f")
    assert str(caught.value).isprintable()


def test_an_unknown_name_among_none_says_so() -> None:
    assert str(unknown("here", "thing", "x", [])) == "here: unknown thing 'x'; expected one of: none"


@pytest.mark.parametrize(
    ("text", "found"),
    [("a = 1\nb = = 2\n", "line 2, column 5"), ("a = 1\na = 2\n", "line 2"), ("[t\n", "line 1"),
     ("a = 'x", "end of document"), ("a = " + "[" * 10_000, "")],
)  # fmt: skip
def test_bad_toml_names_its_line(tmp_path: Path, text: str, found: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(BuildplugError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: expected TOML 1.0, found: ")
    assert found in str(caught.value)


def test_a_number_of_too_many_digits_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("a = " + "9" * 5000)
    with pytest.raises(BuildplugError, match="expected TOML"):
        load(tmp_path / "bad.toml")


def test_text_that_is_not_utf_8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(BuildplugError, match="expected UTF-8, found byte 0xff at 5"):
        load(tmp_path / "bad.toml")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BuildplugError, match=r"none\.toml: cannot be read: No such file"):
        load(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        ({}, Circle()),
        ({"radius": 2}, Circle(radius=2)),
        ({"shape": "circle", "fill": "green"}, Circle(fill="green")),
        ({"shape": "square", "side": 3}, Square(3)),
    ],
)
def test_a_key_says_which_record_of_a_union_is_meant(figure: object, expected: object) -> None:
    assert convert(Drawing, {"figure": figure}, "f").figure == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"figure": 1}, "figure: expected a table, found 1"),
        ({"figure": {"shape": 1}}, "figure: shape: expected a string, found 1"),
        ({"figure": {"shape": "squire"}}, "figure: shape: unknown shape 'squire'; did you mean 'square'?"),
        ({"figure": {"side": 1}}, "figure: side is for shape that are square, found circle; leave it out"),
        ({"figure": {"shape": "square"}}, "figure: expected the key 'side', found none; add side = …"),
        ({"figure": {"radios": 1}}, "figure: unknown key 'radios'; did you mean 'radius'?"),
        ({"figure": {"fill": "gren"}}, "figure: fill: unknown colour 'gren'; did you mean 'green'?"),
        ({"colours": ["red", "rad"]}, "colours[1]: unknown colour 'rad'; did you mean 'red'?"),
    ],
)
def test_what_is_wrong_with_a_record_of_a_union_is_named(data: object, expected: str) -> None:
    with pytest.raises(BuildplugError) as caught:
        convert(Drawing, data, "f")
    assert str(caught.value) == f"f: {expected}"


def test_keys_of_other_records_are_kept_apart_and_its_own_go_first() -> None:
    assert convert(Adjusted, {"radius": "r", "side": 1}, "f") == Adjusted("r", {"side": 1})


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"side": "1"}, "side: expected an integer, found '1'"),
        ({"shape": "circle"}, "unknown key 'shape'; expected one of: fill, radius, side"),
        ({"others": {}}, "unknown key 'others'; expected one of: fill, radius, side"),
    ],
)
def test_keys_of_other_records_are_checked(data: object, expected: str) -> None:
    with pytest.raises(BuildplugError) as caught:
        convert(Adjusted, data, "f")
    assert str(caught.value) == f"f: {expected}"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["name", "inner", "many", "yes", "maybe", "other"])


@given(st.dictionaries(keys, values))
def test_any_data_is_a_record_or_an_error_of_one_line(data: dict[str, object]) -> None:
    try:
        assert isinstance(convert(Outer, data, "f"), Outer)
    except BuildplugError as error:
        assert str(error).isprintable()
