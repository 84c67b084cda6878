"""How settings are made: what a field knows of itself, how texts become values, and what is refused in which words."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from chipalign_settings import (
    Reader,
    Refused,
    addresses,
    default_home,
    from_env,
    matching,
    numbers,
    one_of,
    read_absolute_path,
    read_path,
    redact,
    setting,
    to_env,
)
from tests.rows import for_each

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Lamp:
    """Settings of a lamp, one of each kind."""

    home: Path = setting("LAMP_HOME", default_home, "where it stands", read=read_path)
    watts: int = setting("LAMP_WATTS", 40, "power", within=(1, 60))
    warmth: float = setting("LAMP_WARMTH", 0.5, "how yellow", within=(0.0, 1.0))
    shade: str = setting("LAMP_SHADE", "none", "what is around it", choices=("none", "paper"))
    key: str = setting("LAMP_KEY", "", "what switches it", secret=True)
    plug: str | None = setting("LAMP_PLUG", None, "what it hangs on")


def refuse(refused: Sequence[Refused]) -> Exception:
    return LookupError(*refused)


def lamp(**variables: str) -> Lamp:
    return from_env(Lamp, {f"LAMP_{name.upper()}": text for name, text in variables.items()}, refuse)


def test_a_field_knows_its_variable_its_help_and_what_is_allowed() -> None:
    known = {item.name: dict(item.metadata) for item in fields(Lamp)}
    assert [known["watts"][key] for key in ("env", "help", "range")] == ["LAMP_WATTS", "power", (1, 60)]
    assert "range" not in known["shade"]
    assert next(item for item in fields(Lamp) if item.name == "watts").default == 40


def test_texts_take_the_kinds_of_their_fields() -> None:
    read = lamp(home="rel", watts=" 7 ", warmth="1", shade="paper", key="k", plug="wall")
    assert read == Lamp(Path("rel"), 7, 1.0, "paper", "k", "wall")
    assert type(read.warmth) is float


def test_missing_empty_and_blank_variables_leave_the_defaults() -> None:
    assert lamp() == lamp(watts="", shade="  ", plug="\t") == Lamp()
    assert Lamp().home == default_home()


def test_options_win_over_variables_and_empty_ones_do_not() -> None:
    variables = {"LAMP_WATTS": "7", "LAMP_SHADE": "paper"}
    assert from_env(Lamp, variables, refuse, {"watts": "9", "shade": ""}) == Lamp(watts=9, shade="paper")


def test_all_that_is_refused_is_reported_at_once_in_the_order_of_the_fields() -> None:
    with pytest.raises(LookupError) as caught:
        lamp(shade="glass", watts="61", warmth="warm")
    assert [str(error) for error in caught.value.args] == [
        "LAMP_WATTS is '61': give a whole number from 1 to 60",
        "LAMP_WARMTH is 'warm': give a number from 0.0 to 1.0",
        "LAMP_SHADE is 'glass': give one of none, paper",
    ]


def test_a_number_of_another_kind_is_distinguished_from_one_outside_the_range() -> None:
    refused = [("many", False), ("1.5", False), ("\u0663", False), ("0", True), ("61", True)]
    for text, is_outside in refused:
        with pytest.raises(Refused) as caught:
            numbers(int, (1, 60))("X", text)
        assert (caught.value.is_outside, caught.value.kind) == (is_outside, "a whole number")
    with pytest.raises(Refused, match="X is 'nan': give a number from 0 to 1"):
        numbers(float, (0, 1))("X", "nan")
    assert (numbers(int, (1, 60))("X", "1"), numbers(int, (1, 60))("X", "60")) == (1, 60)


def test_a_number_without_a_range_is_a_mistake_of_who_writes_it() -> None:
    with pytest.raises(TypeError, match="LAMP_WATTS is a number"):
        setting("LAMP_WATTS", 40, "power")


@for_each("text", ["http://g:8000", "http://g:8000/", "http://g:8000/v1", "http://g:8000/v1/"])
def test_an_address_loses_what_other_clients_put_behind_it(text: str) -> None:
    assert addresses("http://x")("URL", text) == "http://g:8000"


@for_each(
    "text",
    ["g:8000", "ftp://g", "http://", "http://g:port", "http://g:0", "http://[::1", "http://g/?a=b", "http://g/#f"],
)
def test_what_is_not_an_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Refused, match="give an address such as http://x"):
        addresses("http://x")("URL", text)


def test_a_refused_address_does_not_show_its_password() -> None:
    with pytest.raises(Refused, match="URL is 'ftp://g'") as caught:
        addresses("http://x")("URL", "ftp://somebody:hunter2@g")
    assert "hunter2" not in str(caught.value)
    assert redact("http://g:1/a") == "http://g:1/a"


def test_paths_know_the_home_folder_and_the_folder_of_now() -> None:
    assert read_path("X", "~/a") == Path.home() / "a"
    assert (read_path("X", "b"), read_absolute_path("X", "b")) == (Path("b"), Path.cwd() / "b")


@pytest.mark.parametrize(
    ("read", "right", "wrong"), [(one_of("a", "b"), "b", "A"), (matching("C[0-9]+", "ids"), "C1", "C1 ")]
)
def test_words_and_patterns_are_taken_whole(read: Reader[str], right: str, wrong: str) -> None:
    assert read("X", right) == right
    with pytest.raises(Refused, match=f"X is '{wrong}': give "):
        read("X", wrong)


def test_a_secret_is_not_shown_but_handed_on() -> None:
    settings = Lamp(home=Path("h"), key="s3cret", plug="wall")
    assert "s3cret" not in repr(settings)
    assert from_env(Lamp, to_env(settings), refuse) == settings


def test_importing_reads_no_environment() -> None:
    code = (
        "import os\n"
        "class Forbidden(dict):\n"
        "    def forbid(self, *key): raise SystemExit(f'read {key}')\n"
        "    __getitem__ = get = __iter__ = __contains__ = forbid\n"
        "import dataclasses, pathlib, platformdirs, re, typing, urllib.parse\n"
        "os.environ = Forbidden()\n"
        "import chipalign_settings\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=dict(os.environ), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
