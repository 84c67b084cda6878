"""Whose chat template the output has: a parent's, a known form's, or the recipe's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from merge.errors import RecipeError
from merge.merging.card import render_card
from merge.merging.merger import merge_parents
from merge.recipe_file import parse_recipe
from merge.settings import MergeSettings
from tests.rows import for_each
from tests.tiny_models import TEMPLATE, WORDS, make_recipe, write_llama, write_tokenizer

MESSAGES = [{"role": "user", "content": "fix hold"}]
OWN = "{% for m in messages %}[{{ m['content'] }}]{% endfor %}"


def render(out: Path) -> str:
    """What the merge makes of a question."""
    return str(AutoTokenizer.from_pretrained(out).apply_chat_template(MESSAGES, tokenize=False))


@pytest.fixture(scope="module")
def parents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Parents of which the chip parent has another template than the chat parent."""
    folder = tmp_path_factory.mktemp("parents")
    sides = {side: write_llama(folder / side, seed) for seed, side in enumerate(("chip", "chat"))}
    (sides["chip"] / "chat_template.jinja").write_text("chip {{ messages[0]['content'] }}")
    return sides


def run(parents: dict[str, Path], out: Path, template: str) -> str:
    """The question as the merge of a recipe with this template words it."""
    recipe = make_recipe(**parents, chat_template=template)
    merge_parents(recipe, out, MergeSettings(out.parent / "home"), render_card)
    assert json.loads((out / "merge_report.json").read_text())["recipe"].get("chat_template", "chat") == template
    return render(out)


@for_each(
    ("template", "expected"),
    [
        ("chat", "user : fix hold "),
        ("auto", "user : fix hold "),
        ("chip", "chip fix hold"),
        (OWN, "[fix hold]"),
        ("alpaca", "### Instruction:\nfix hold\n\n"),
    ],
)
def test_the_output_has_the_template_that_the_recipe_gives(
    tmp_path: Path, parents: dict[str, Path], template: str, expected: str
) -> None:
    assert run(parents, tmp_path / "out", template) == expected


def test_auto_is_the_chip_parents_where_the_chat_parent_has_none(tmp_path: Path) -> None:
    sides = {side: write_llama(tmp_path / side, seed) for seed, side in enumerate(("chip", "chat"))}
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        if (path := sides["chat"] / name).is_file():
            path.write_text(path.read_text().replace(TEMPLATE, "")) if name.endswith("json") else path.unlink()
    assert run(sides, tmp_path / "auto", "auto") == "user : fix hold "
    with pytest.raises(RecipeError, match="chat_template is chip, and the chip parent has no chat template"):
        run({"chip": sides["chat"], "chat": sides["chip"]}, tmp_path / "out", "chip")


def test_a_known_form_needs_its_tokens(tmp_path: Path, parents: dict[str, Path]) -> None:
    with pytest.raises(RecipeError, match=r"chatml needs the tokens <\|im_start\|>, <\|im_end\|>, and the output has"):
        run(parents, tmp_path / "out", "chatml")
    sides = {side: write_llama(tmp_path / side, seed) for seed, side in enumerate(("chip", "chat"))}
    for side in sides.values():
        write_tokenizer(side, [*WORDS, "<|im_start|>", "<|im_end|>"])
    assert run(sides, tmp_path / "out", "chatml") == "<|im_start|>user\nfix hold<|im_end|>\n"


def test_a_text_that_is_not_a_template_is_refused(tmp_path: Path, parents: dict[str, Path]) -> None:
    with pytest.raises(RecipeError, match=r"chat_template .* is not valid Jinja"):
        run(parents, tmp_path / "out", "{% for m in messages %}")
    for wrong in ("chatlm", "", 3):
        data = {"merge": {"chat_template": wrong}, "chip": {"model": "a"}, "chat": {"model": "b"}}
        with pytest.raises(
            RecipeError, match=r"merge\.chat_template is .* \(allowed: chat, chip, auto, chatml, llama3"
        ):
            parse_recipe(data, base=Path(), source="r.toml")


def test_the_recipe_gives_the_largest_file(tmp_path: Path, parents: dict[str, Path]) -> None:
    recipe = make_recipe(**parents, shard_gb=3e-5)
    merge_parents(recipe, tmp_path / "out", MergeSettings(tmp_path / "home"), render_card)
    sizes = [path.stat().st_size for path in (tmp_path / "out").glob("*.safetensors")]
    assert len(sizes) > 1
    assert max(sizes) < 34_000
    data = {"merge": {"shard_gb": 0}, "chip": {"model": "a"}, "chat": {"model": "b"}}
    with pytest.raises(RecipeError, match=r"merge\.shard_gb is 0 \(allowed: a number of GB above 0\)"):
        parse_recipe(data, base=Path(), source="r.toml")
