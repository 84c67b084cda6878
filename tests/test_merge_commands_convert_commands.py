"""`chipalign merge convert`: what is read and written, and one sentence for each file that is no configuration."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from merge.commands.convert_commands import MOST_BYTES, build_convert_parser, convert, read_yaml
from merge.errors import OutputRefused, RecipeError
from tests.rows import for_each

SLERP = """\
merge_method: slerp
base_model: chat
slices:
  - sources:
      - {model: chat, layer_range: [0, 2]}
      - {model: chip, layer_range: [0, 2]}
parameters:
  t: 0.25
dtype: bfloat16
"""


@for_each(
    "text",
    [
        "a: [1",
        "a: b: c",
        "a: *unknown",
        "? [1]\n: 2",
        "a: 2024-13-45",
        "a: !!int ''",
        "a: !!int '1:'",
        "a: !!float ''",
        "a: !!bool maybe",
        "a: !!timestamp never",
        "a: !!python/object/apply:os.system [id]",
        "a: !model chip",
        "\ta: 1",
        "a: \x07",
        "[" * 1200,
        "<<: 3",
    ],
)
def test_what_is_not_yaml_is_one_sentence_that_names_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yml").write_text(text)
    with pytest.raises(RecipeError, match=r"c\.yml: is not valid YAML: ") as caught:
        read_yaml(tmp_path / "c.yml")
    assert "\n" not in str(caught.value)


@for_each(
    ("raw", "value"),
    [
        (b"", None),
        (b"# a comment\n", None),
        (b"5", 5),
        (b"a: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
        (b"\xef\xbb\xbfa: 1\n", {"a": 1}),  # with a byte order mark
        ("a: größe\n".encode(), {"a": "größe"}),
        (b"a: &x [1]\nb: *x\n", {"a": [1], "b": [1]}),
        (b'{"a": [true, null]}', {"a": [True, None]}),
    ],
)
def test_the_values_of_a_file_are_read_whatever_its_line_ends(tmp_path: Path, raw: bytes, value: object) -> None:
    (tmp_path / "c.yml").write_bytes(raw)
    assert read_yaml(tmp_path / "c.yml") == value


def test_a_file_of_the_largest_size_is_read_and_one_byte_more_is_not(tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    path.write_text("a: 1\n#" + "x" * (MOST_BYTES - 6))
    assert read_yaml(path) == {"a": 1}
    path.write_text("a: 1\n#" + "x" * (MOST_BYTES - 5))
    with pytest.raises(RecipeError, match=rf"larger than any configuration \({MOST_BYTES} bytes are allowed\)"):
        read_yaml(path)


@for_each(
    ("name", "said"),
    [("none.yml", "no such file"), (".", "cannot be read: Is a directory"), ("latin.yml", "is not valid YAML")],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "latin.yml").write_bytes("a: größe".encode("latin-1"))
    with pytest.raises(RecipeError) as caught:
        read_yaml(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: {said}")


def test_a_recipe_is_printed_or_written_with_its_folders_as_seen_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yml").write_text(SLERP)
    (tmp_path / "chip").mkdir()
    assert convert(["c.yml"]) == 0
    printed = tomllib.loads(capsys.readouterr().out)
    assert printed["chip"]["model"] == "chip"
    assert printed["merge"]["lam"] == 0.25

    (tmp_path / "recipes").mkdir()
    assert convert(["c.yml", "--out", "recipes/r.toml"]) == 0
    assert capsys.readouterr().out == "recipes/r.toml\n"
    written = tomllib.loads((tmp_path / "recipes/r.toml").read_text())
    assert written["chip"]["model"] == os.path.join("..", "chip")  # noqa: PTH118 - as a relative path is written
    assert written["chat"]["model"] == "chat"  # no folder of this place: a hub id stays as it is


def test_a_recipe_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text(SLERP)
    (tmp_path / "r.toml").write_text("mine")
    with pytest.raises(OutputRefused, match=r"r\.toml cannot be written: File exists\. Choose another place"):
        convert([str(tmp_path / "c.yml"), "--out", str(tmp_path / "r.toml")])
    assert (tmp_path / "r.toml").read_text() == "mine"
    with pytest.raises(OutputRefused, match="No such file or directory"):
        convert([str(tmp_path / "c.yml"), "--out", str(tmp_path / "none/r.toml")])


@for_each("text", ["", "5", "[]", "text", "{}", "merge_method: 5"])
def test_yaml_that_is_not_a_configuration_is_refused_and_nothing_is_written(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yml").write_text(text)
    with pytest.raises(RecipeError, match=r"c\.yml: "):
        convert([str(tmp_path / "c.yml"), "--out", str(tmp_path / "r.toml")])
    assert not (tmp_path / "r.toml").exists()


def test_the_options_are_a_configuration_a_place_and_a_chat_model() -> None:
    args = build_convert_parser().parse_args(["c.yml", "--chat", "org/chat"])
    assert (args.config, args.out, args.chat) == (Path("c.yml"), None, "org/chat")


def test_a_full_disk_leaves_no_half_recipe(tmp_path: Path, small_disk: Path) -> None:
    (tmp_path / "slerp.yml").write_text(SLERP)
    (small_disk / "filler").write_bytes(bytes(1 << 20))
    arguments = [str(tmp_path / "slerp.yml"), "--out", str(small_disk / "r.toml")]
    with pytest.raises(OutputRefused, match=r"r\.toml cannot be written: No space left on device"):
        convert(arguments)
    (small_disk / "filler").unlink()
    assert convert(arguments) == 0
    assert tomllib.loads((small_disk / "r.toml").read_text())["merge"]["lam"] == 0.25
