"""A search as it is typed: on tiny models, taken up after a stop, and with a model that is only a formula."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from merge.arithmetic.choice import find_arithmetic
from merge.commands.merge_commands import merge
from merge.commands.mergekit import write_toml
from merge.commands.pareto import draw_pareto
from merge.commands.search_commands import spell_out
from merge.errors import MergeError, OutputRefused, QuestionsUnusable, RecipeError, SearchImpossible
from merge.merging.merger import open_folders
from merge.recipe import Recipe, describe_lam
from merge.recipe_file import load_recipe, parse_recipe
from merge.tuning.likelihood import Scorer, encode
from merge.tuning.questions import Question
from merge.tuning.study import Estimate, Found, Plan, Row, Study, describe, describe_lams, estimate
from merge.tuning.trials import Trial
from tests.rows import for_each
from tests.tiny_models import make_recipe, rewrite_config, rewrite_tensors, write_llama

QUESTIONS = [Question(f"{goal}-{n}", goal, "p", ("a",)) for goal in ("chip", "chat") for n in range(40)]
LINES = [
    *(
        {"id": n, "question": "fix hold", "choices": ["slack", "with", "repair_timing"], "answer": n % 3}
        for n in range(12)
    ),
    *(
        {
            "id": f"c{n}",
            "goal": "chat",
            "messages": [{"role": "user", "content": "slack with hold"[: 5 + n]}],
            "answer": "fix hold",
            **({"rejected": ["slack"]} if n % 2 else {}),
        }
        for n in range(12)
    ),
]


class Formula:
    """A model whose chip goal is best at lam 1 and whose chat goal is best at 0.2; questions differ in level alone."""

    def __init__(self, gain: float) -> None:
        self.gain, self.lam, self.tries = gain, 0.0, 0

    def set_weights(self, recipe: Recipe) -> None:
        self.tries += 1
        self.lam = float(np.mean([rule.lam for rule in recipe.schedule])) if recipe.schedule else float(str(recipe.lam))

    def score(self, questions: Sequence[Question]) -> list[float]:
        best = {"chip": 1.0, "chat": 0.2}
        return [-(hash_of(q) + self.gain * (self.lam - best[q.goal]) ** 2) for q in questions]


def hash_of(question: Question) -> float:
    return sum(question.key.encode()) % 17 / 10


def study(folder: Path, model: Formula, trials: int = 12, groups: int = 1, key: str = "k") -> Study:
    recipe = make_recipe(folder, folder)
    parts = (QUESTIONS[::2], QUESTIONS[1::2])
    return Study(recipe, 8, model, parts, Plan(groups, trials), folder / "trials.jsonl", key, lambda text: None)


@pytest.fixture(scope="module")
def pair_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tiny parents, a recipe, and questions for both goals."""
    folder = tmp_path_factory.mktemp("pair")
    for seed, side in enumerate(("chip", "chat"), start=1):
        write_llama(folder / side, seed)
    (folder / "r.toml").write_text('[merge]\nlam = 0.1\n[chip]\nmodel = "chip"\n[chat]\nmodel = "chat"\n')
    (folder / "q.jsonl").write_text("\n".join(map(json.dumps, LINES)))
    return folder


def test_a_search_that_was_stopped_goes_on_as_if_it_had_not(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = study(tmp_path / "a", Formula(1.0), groups=2).run((0.6, 0.6))
    study(tmp_path / "b", Formula(1.0), trials=5, groups=2).run((0.6, 0.6))
    with (tmp_path / "b" / "trials.jsonl").open("a") as file:
        file.write('{"lams": [0.')  # killed while it wrote
    model = Formula(1.0)
    resumed = study(tmp_path / "b", model, groups=2).run((0.6, 0.6))
    assert resumed.trials == whole.trials
    assert model.tries == 12 - 5 + len({row.lams for row in resumed.rows})
    assert (tmp_path / "b" / "trials.jsonl").read_text() == (tmp_path / "a" / "trials.jsonl").read_text()
    with pytest.raises(OutputRefused, match=r"trials\.jsonl is of another search"):
        study(tmp_path / "b", Formula(1.0), key="other").run((0.6,))


def test_what_was_found_is_confirmed_beside_one_lam(tmp_path: Path) -> None:
    found = study(tmp_path, Formula(1.0), trials=20).run((0.6,))
    # Each goal from its worst to its best: 1 - (1 - lam)^2 and 1 - (lam - 0.2)^2 / 0.64 meet at 1 / 1.8
    assert found.best.lams == (0.55,)
    assert not found.is_better()
    rows = {row.name: row for row in found.rows}
    assert rows["chip"].beside_default["chip"].mean == pytest.approx(0.16)
    assert rows["chip"].beside_default["chip"].is_clear
    assert rows["chip"].beside_default["chat"].high < 0
    assert rows["default"].beside_default["chat"].mean == 0
    held_out = [-hash_of(q) - 0.16 for q in QUESTIONS[1::2] if q.goal == "chat"]
    assert rows["default"].goals["chat"].mean == pytest.approx(np.mean(held_out))


def test_an_interval_holds_the_mean_and_shrinks_with_the_number() -> None:
    dice = np.random.default_rng(1)
    few, many = (estimate(dice.standard_normal(count) + 1) for count in (30, 3000))
    assert few.low < 1 < few.high
    assert few.high - few.low == pytest.approx(2 * 1.96 / math.sqrt(30), rel=0.3)
    assert many.high - many.low == pytest.approx(2 * 1.96 / math.sqrt(3000), rel=0.1)


def test_weights_in_place_are_those_of_the_merge_on_disk(pair_folder: Path, tmp_path: Path) -> None:
    merge([str(pair_folder / "r.toml"), "--out", str(tmp_path / "out")])
    recipe, arithmetic = load_recipe(pair_folder / "r.toml"), find_arithmetic("cpu")
    questions = [
        Question("one", "chip", "Question: fix hold\nAnswer:", (" slack", " with", " repair_timing"), 2),
        Question("two", "chat", ({"role": "user", "content": "hold slack"},), ("fix hold",)),
    ]
    from contextlib import ExitStack

    with ExitStack() as stack:
        folders = {side: (pair_folder / side,) for side in ("chip", "chat")}
        scorer = Scorer(recipe, open_folders(folders, recipe, stack, arithmetic), arithmetic, threads=2)
        scorer.set_weights(recipe)
        scores = scorer.score(questions)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    found = []
    for question in questions:
        values = []
        for number in range(len(question.answers)):
            example = encode(question, number, tokenizer)
            with torch.no_grad():
                logits = model(torch.tensor([example.ids])).logits[0].log_softmax(-1)
            places = range(len(example.ids) - example.learnt - 1, len(example.ids) - 1)
            values.append(sum(float(logits[at, example.ids[at + 1]]) for at in places))
        found.append(values)
    assert scores[0] == pytest.approx(found[0][2] - np.logaddexp.reduce(found[0]), abs=0.03)  # bfloat16, perhaps
    assert scores[1] == pytest.approx(found[1][0] / 2, abs=0.03)


def test_the_command_leaves_a_recipe_a_picture_and_the_trials(
    pair_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "search"
    arguments = ["search", str(pair_folder / "r.toml"), "--eval", str(pair_folder / "q.jsonl"), "--out", str(out)]
    arguments += ["--trials", "8", "--groups", "2"]
    assert merge([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert len(document["trials"]) == 8
    assert document["questions"] == [12, 12]
    assert {path.name for path in out.iterdir()} == {
        "trials.jsonl",
        "search.json",
        "recipe.toml",
        "pareto.png",
        "pareto-dark.png",
    }
    recipe = load_recipe(out / "recipe.toml")
    assert (recipe.base / recipe.chip.model).resolve() == (pair_folder / "chip").resolve()
    lams = [rule.lam for rule in recipe.schedule]
    assert lams == document["best"]["lams"], describe_lam(recipe.lam)
    assert merge(arguments) == 0
    printed = capsys.readouterr()
    assert "taking up a search of 8 trials" in printed.err
    assert "found    lam" in printed.out
    assert merge([str(out / "recipe.toml"), "--out", str(tmp_path / "out")]) == 0


WRONG: list[tuple[dict[str, Any], list[str], type[MergeError], str]] = [
    ({}, ["--groups", "9"], RecipeError, "9 is more than 8"),
    ({}, ["--groups", "3"], RecipeError, "3 is more than the model's 2 layers"),
    ({"method": "soup"}, [], RecipeError, "have no lam to search"),
    ({"chip": "weight = 1"}, [], RecipeError, "have no lam to search"),
    ({}, ["--eval", "no.jsonl"], QuestionsUnusable, "no.jsonl cannot be read"),
]


@for_each(("merge_keys", "options", "error", "message"), WRONG)
def test_what_cannot_be_searched_is_said(
    pair_folder: Path,
    tmp_path: Path,
    merge_keys: dict[str, str],
    options: list[str],
    error: type[MergeError],
    message: str,
) -> None:
    chip = merge_keys.get("chip", "")
    method = f'method = "{merge_keys["method"]}"' if "method" in merge_keys else ""
    chip_model, chat_model = (f'model = "{pair_folder / side}"' for side in ("chip", "chat"))
    text = f"[merge]\n{method}\n[chip]\n{chip_model}\n{chip}\n[chat]\n{chat_model}\n"
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(error, match=message):
        merge(
            [
                "search",
                str(tmp_path / "r.toml"),
                "--eval",
                str(pair_folder / "q.jsonl"),
                "--out",
                str(tmp_path),
                *options,
            ]
        )


def test_tensors_with_other_names_in_memory_are_refused(pair_folder: Path, tmp_path: Path) -> None:
    for side in ("chip", "chat"):
        write_llama(tmp_path / side, 1)
        rewrite_tensors(tmp_path / side, {"model.stranger": torch.ones(2)})
    recipe, arithmetic = make_recipe(tmp_path / "chip", tmp_path / "chat"), find_arithmetic("cpu")
    from contextlib import ExitStack

    with ExitStack() as stack:
        folders = {side: (tmp_path / side,) for side in ("chip", "chat")}
        pair = open_folders(folders, recipe, stack, arithmetic)
        with pytest.raises(
            SearchImpossible, match=r"1 tensors have other names in memory than on disk, model\.stranger"
        ):
            Scorer(recipe, pair, arithmetic, threads=1)
        for side in ("chip", "chat"):
            rewrite_config(tmp_path / side, model_type="no-such-model")
        folders = {side: (tmp_path / side,) for side in ("chip", "chat")}
        pair = open_folders(folders, recipe, stack, arithmetic)
        with pytest.raises(SearchImpossible, match="cannot be loaded here"):
            Scorer(recipe, pair, arithmetic, threads=1)


def test_the_picture_names_goals_front_and_choice(tmp_path: Path) -> None:
    found = study(tmp_path, Formula(1.0), trials=10, groups=2).run((0.6, 0.6))
    figure = draw_pareto(found, "the $title")
    (axes,) = figure.axes
    assert axes.get_xlabel() == "chip goal: mean log-likelihood of the right answers (nats)"
    legend = axes.get_legend()
    assert legend is not None
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts[-1].startswith("chosen: lam ")
    assert {text.get_text() for text in axes.texts} == {"chat model", "chip model", "lam 0.6"}


def test_a_recipe_that_is_spelled_out_means_the_same(tmp_path: Path) -> None:
    text = """
        [merge]
        lam = [0.2, 0.8]
        chat_template = "{{ messages }}\\n\\"x\\""
        shard_gb = 2.5
        [chip]
        model = "org/chip"
        adapter = ["org/one", "org/two"]
        [chat]
        model = "org/chat"
        [dtypes]
        "lm_head.weight" = "float32"
        [[schedule]]
        layers = [0, 1]
        lam = 0.5
    """
    recipe = parse_recipe(tomllib.loads(text), base=tmp_path, source="r.toml")
    (tmp_path / "again.toml").write_text(write_toml(spell_out(recipe, tmp_path), []))
    again = load_recipe(tmp_path / "again.toml")
    assert (again.values(), again.parents()) == (recipe.values(), recipe.parents())
    assert again.dtypes == (("lm_head.weight", "float32"),)


@for_each(
    ("lams", "text"),
    [((0.6,), "0.6"), ((0.6, 0.6, 0.6), "0.6"), ((0.6, 0.42), "0.6/0.42"), ((0.0, 1.0), "0/1"), ((0.1 + 0.2,), "0.3")],
)
def test_lams_are_said_once_where_they_are_one(lams: tuple[float, ...], text: str) -> None:
    assert describe_lams(lams) == text
    assert describe(Trial(lams, (-0.5, -1.25))) == f"lam {text}: chip -0.5000, chat -1.2500"


@for_each(
    ("low", "high", "is_clear"),
    [(0.1, 0.2, True), (-0.2, -0.1, True), (-0.1, 0.1, False), (0.0, 0.1, False), (-0.1, 0.0, False)],
)
def test_an_interval_is_clear_where_it_leaves_out_zero(low: float, high: float, is_clear: bool) -> None:
    assert Estimate((low + high) / 2, low, high).is_clear is is_clear


@for_each(
    ("chip", "chat", "is_better"),
    [
        ((0.1, 0.2), (0.1, 0.2), True),
        ((0.1, 0.2), (-0.1, 0.1), True),
        ((0.1, 0.2), (-0.2, -0.1), False),
        ((-0.1, 0.1), (-0.1, 0.1), False),
        ((-0.2, -0.1), (-0.1, 0.1), False),
    ],
)
def test_a_merge_is_better_where_it_gains_clearly_and_loses_nothing_clearly(
    chip: tuple[float, float], chat: tuple[float, float], is_better: bool
) -> None:
    beside = {goal: Estimate(sum(ends) / 2, *ends) for goal, ends in (("chip", chip), ("chat", chat))}
    trial = Trial((0.5,), (0.0, 0.0))
    other = Row("chip", (1.0,), beside, {goal: Estimate(-1, -2, -0.5) for goal in beside})
    found = Found((trial,), (0,), trial, (other, Row("found", (0.5,), beside, beside)), 1.0)
    assert found.is_better() is is_better


def test_an_estimate_of_equal_values_has_no_width_and_is_drawn_alike_each_time() -> None:
    same = estimate(np.full(7, -2.5))
    assert (same.mean, same.low, same.high) == pytest.approx((-2.5, -2.5, -2.5))
    values = np.array([1.0, 2.0, 4.0, 8.0])
    assert estimate(values) == estimate(values.copy())
    moved = estimate(values + 10)
    assert (moved.low, moved.high) == pytest.approx((estimate(values).low + 10, estimate(values).high + 10))
    assert 1.0 <= estimate(values).low <= estimate(values).mean <= estimate(values).high <= 8.0


@for_each(
    "journal",
    [
        "",
        "{}\n",
        "[]\n",
        '{"key": "k", "more": 1}\n',
        '{"key": "k"}\n{"lams": [0.6]}\n',
        '{"key": "k"}\n{"lams": 5, "values": [1, 2]}\n',
        '{"key": "k"}\n{"lams": [0.6], "values": [1]}\n',
        '{"key": "k"}\n[]\n',
        '{"key": "k"}\n{"lams": [0.\n{"lams": [0.6], "values": [1, 2]}\n',
    ],
)
def test_a_journal_that_is_not_this_searchs_is_refused_and_left_as_it_is(tmp_path: Path, journal: str) -> None:
    (tmp_path / "trials.jsonl").write_text(journal)
    with pytest.raises(OutputRefused, match=r"is of another search: .*Choose another --out"):
        study(tmp_path, Formula(1.0)).run((0.6,))
    assert (tmp_path / "trials.jsonl").read_text() == journal


def test_a_search_that_is_over_tries_nothing_again(tmp_path: Path) -> None:
    first = study(tmp_path, Formula(1.0), trials=3).run((0.6,))
    model = Formula(1.0)
    again = study(tmp_path, model, trials=3).run((0.6,))
    assert again.trials == first.trials
    assert again.best == first.best
    assert model.tries == len({row.lams for row in again.rows})  # only what is confirmed


def test_merges_of_the_same_lams_are_confirmed_once(tmp_path: Path) -> None:
    model = Formula(1.0)
    found = study(tmp_path, model, trials=1).run((0.6,))
    assert [row.name for row in found.rows] == ["chat", "chip", "default", "guess", "found"]
    assert model.tries == 1 + 3  # the trial; and 0, 1 and 0.6, which is default, guess and found
    assert not found.is_better()
