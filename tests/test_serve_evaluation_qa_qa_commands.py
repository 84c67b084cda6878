"""serve.evaluation.qa.qa_commands:

`chipalign eval qa` as a user calls it, on little files of ORD-QA's form, before engines on real sockets.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import chipalign
from rag.answering.prompt import RULES, SYSTEM
from rag.command_line import write_jsonl
from tests.conftest import free_port
from tests.fake_engine import ENGINE_MODEL, EngineScript, FakeEngine
from tests.processes import running

ROOT = Path(__file__).parent.parent
CORPUS = [
    {
        "source": "antenna_rule_checker",
        "knowledge": [
            {
                "id": "arc_0",
                "content": "id:arc_0\n# Antennas\n## Check\n\n`check_antennas` lists nets with antenna violations.\n",
            },
            {
                "id": "arc_1",
                "content": "id:arc_1\n# Antennas\n## Repair\n\n`repair_antennas` inserts diode cells at the gates.\n",
            },
        ],
    },
    {
        "source": "gate_resizing",
        "knowledge": [
            {
                "id": "gr_0",
                "content": (
                    "id:gr_0\n# Resizer\n\n`repair_timing -hold` inserts delay buffers against hold violations.\n"
                ),
            }
        ],
    },
]
QUESTIONS: list[dict[str, Any]] = [
    {
        "id": 1,
        "type": "functionality",
        "question": "Which command lists antenna violations?",
        "reference": ["arc_0"],
        "answer": ' Run `check_antennas`\\nfor \\"antennas\\".\n',
    },
    {
        "id": 2,
        "type": "functionality",
        "question": "How are antenna violations repaired with diode cells?",
        "reference": ["arc_1", "arc_0"],
        "answer": "Run `repair_antennas` [1].",
    },
    {
        "id": 3,
        "type": "vlsi_flow",
        "question": "How do I repair hold violations?",
        "reference": ["gr_0"],
        "answer": "Call repair_timing -hold.",
    },
    {"id": 4, "type": "off", "question": "Who won the football match yesterday?", "answerable": False, "reference": []},
]

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.json"
    path.write_text(json.dumps(CORPUS))
    return path


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "questions.jsonl", QUESTIONS)


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    write_jsonl(path, rows)
    return path


def evaluate(*arguments: str | Path | int) -> int:
    """`chipalign eval qa` as it is run."""
    return chipalign.main(["eval", "qa", *map(str, arguments)])


def test_json_is_one_document_with_figures_settings_and_load(
    corpus: Path, questions: Path, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        evaluate("--corpus", corpus, "--questions", questions, "--context", "golden", "--url", engine.url, "--json")
        == 0
    )
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert "ask: 3 of 3" in captured.err
    assert result["settings"]["model"] == ENGINE_MODEL
    assert (
        result["settings"]["context"],
        result["settings"]["context_tokens"],
        result["settings"]["max_model_len"],
    ) == ("golden", None, 4096)
    assert (result["asked"]["questions"], result["asked"]["without_answer"], result["searched"]["chunks"]) == (3, 1, 3)
    # "run repair antennas 1" (the engine's only answer) beside "run check antennas for antennas", itself, "call repair
    # timing hold"
    assert [row["measures"]["rouge_l"] for row in result["questions"]] == pytest.approx([4 / 9, 1.0, 1 / 4])
    assert [row["measures"]["right_command"] for row in result["questions"]] == [0.0, 1.0, 0.0]
    assert result["measures"]["overall"]["rouge_l"]["mean"] == pytest.approx((4 / 9 + 1 + 1 / 4) / 3)
    assert list(result["measures"]) == ["overall", "functionality", "vlsi_flow"]
    assert result["measures"]["functionality"]["questions"] == 2
    assert result["measures"]["overall"]["unknown_command"] == {"questions": 3, "mean": 0.0, "low": 0.0, "high": 0.0}
    assert result["reference_answers"]["rouge_l"]["mean"] == 1.0
    assert result["tokens"] == {"prompt": 27, "completion": 9}
    assert set(result["latency_ms"]) == {"p50", "p95"}
    assert result["counts"]["answered_by_model"] == 3
    # /models/x, which the engine names, is not on this machine
    assert result["settings"]["tokens_of"].startswith("the embedder")
    assert "differences" not in result
    first = next(body for body in engine.bodies if "lists antenna" in body["messages"][1]["content"])
    assert first["messages"][0] == {"role": "system", "content": f"{SYSTEM} {RULES}"}
    assert (
        "[1]\n~~~\nantenna rule checker > Antennas > Check\n`check_antennas` lists" in first["messages"][1]["content"]
    )
    assert (first["temperature"], first["max_tokens"], "retrieval" in first) == (0, 400, False)


def test_golden_context_holds_the_referenced_passages_alone(
    corpus: Path, questions: Path, engine: FakeEngine, tmp_path: Path
) -> None:
    answers = tmp_path / "answers.jsonl"
    assert (
        evaluate(
            "--corpus",
            corpus,
            "--questions",
            questions,
            "--context",
            "golden",
            "--url",
            engine.url,
            "--answers",
            answers,
        )
        == 0
    )
    rows = {row["id"]: row for row in map(json.loads, answers.read_text().splitlines()[1:])}
    assert rows["2"]["passages"] == [
        "antenna rule checker > Antennas > Repair",
        "antenna rule checker > Antennas > Check",
    ]
    assert rows["1"]["reference"] == 'Run `check_antennas`\nfor "antennas".'  # ORD-QA's escaped line breaks and quotes
    assert rows["3"]["answer"] == "Run `repair_antennas` [1]."
    assert (rows["3"]["prompt_tokens"], rows["3"]["finish_reason"], rows["3"]["by_model"]) == (9, "stop", True)


def test_retrieved_context_is_what_is_found_and_nothing_is_the_gateways_sentence(
    corpus: Path, tmp_path: Path, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    off_topic = {**QUESTIONS[2], "id": 9, "question": "Who won the football match yesterday?"}
    questions = write_lines(tmp_path / "q.jsonl", [QUESTIONS[2], off_topic])
    answers = tmp_path / "answers.jsonl"
    arguments = (
        "--corpus",
        corpus,
        "--questions",
        questions,
        "--context",
        "retrieved",
        "--top-k",
        1,
        "--url",
        engine.url,
        "--answers",
        answers,
    )
    assert evaluate(*arguments, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["counts"]["answered_by_model"], result["counts"]["nothing_found"]) == (1, 1)
    assert (result["settings"]["top_k"], result["settings"]["context_tokens"]) == (1, 900)
    (body,) = engine.bodies
    assert body["messages"][1]["content"].count("~~~") == 2  # one passage
    rows = {row["id"]: row for row in map(json.loads, answers.read_text().splitlines()[1:])}
    assert rows["3"]["passages"] == ["gate resizing > Resizer"]
    assert rows["9"]["answer"].startswith("I found nothing about this in the indexed documents (ready-made)")
    assert rows["9"]["latency_ms"] is None


@pytest.mark.parametrize("context", ["golden", "retrieved"])
def test_an_index_is_asked_about_too(
    small_index: Path,
    small_checkpoint: Path,
    tmp_path: Path,
    gateway: str,
    engine: FakeEngine,
    context: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    row = {"question": "How are antenna violations fixed?", "answer": "With repair_antennas.", "answerable": True}
    questions = write_lines(
        tmp_path / "q.jsonl", [{**row, "references": [{"collection": "notes", "path": "antenna-repair.md"}]}]
    )
    engine.script = EngineScript(answer=("Use `repair_antennas` ", "or `magic_wand_now`."))
    arguments = (
        "--index",
        small_index,
        "--questions",
        questions,
        "--context",
        context,
        "--url",
        gateway,
        "--tokenizer",
        small_checkpoint,
    )
    assert evaluate(*arguments, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["searched"]["path"].endswith("manifest.json")
    assert result["settings"]["tokens_of"] == str(small_checkpoint)
    overall = result["measures"]["overall"]
    assert (overall["right_command"]["mean"], overall["unknown_command"]["mean"]) == (1.0, 1.0)
    assert result["questions"][0]["unknown_names"] == ["magic_wand_now"]
    (body,) = engine.bodies  # the gateway added no passages of its own
    assert body["messages"][1]["content"].count("Context:") == 1


def test_the_table_shows_each_measure_with_its_interval(
    corpus: Path, questions: Path, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        evaluate("--corpus", corpus, "--questions", questions, "--context", "golden", "--url", engine.url, "--limit", 2)
        == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"model     {ENGINE_MODEL} at {engine.url}"
    assert "overall (2)" in "\n".join(lines)
    assert any(line.startswith("rouge_l          0.722 [0.444, 1.000]") for line in lines)
    assert any(line.startswith("right_command    0.500 [0.000, 1.000]") for line in lines)
    assert "unknown_command of the reference answers themselves: 0.000" in lines


def test_a_measure_that_applies_to_no_question_is_a_dash(
    corpus: Path, tmp_path: Path, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = write_lines(tmp_path / "q.jsonl", [{**QUESTIONS[0], "answer": "It lists nets."}])
    assert evaluate("--corpus", corpus, "--questions", questions, "--context", "golden", "--url", engine.url) == 0
    assert any(line.split() == ["right_command", "-"] for line in capsys.readouterr().out.splitlines())


def test_another_runs_answers_are_compared_with_question_by_question(
    corpus: Path, questions: Path, engine: FakeEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ("--corpus", corpus, "--questions", questions, "--context", "golden", "--url", engine.url)
    engine.script = EngineScript(answer=("Use `make_it_so`.",))
    assert evaluate(*common, "--limit", 2, "--answers", tmp_path / "before.jsonl") == 0
    engine.script = EngineScript()
    capsys.readouterr()
    assert evaluate(*common, "--compare", tmp_path / "before.jsonl", "--json") == 0
    differences = json.loads(capsys.readouterr().out)["differences"]
    assert differences["questions"] == 2
    overall = differences["measures"]["overall"]
    # The other answers share no word with the references
    assert overall["rouge_l"]["mean"] == pytest.approx((4 / 9 + 1) / 2)
    assert overall["right_command"]["mean"] == 0.5
    assert overall["unknown_command"] == {"questions": 2, "mean": -1.0, "low": -1.0, "high": -1.0}
    assert evaluate(*common, "--compare", tmp_path / "before.jsonl") == 0
    assert "unknown_command  -1.000 [-1.000, -1.000]" in capsys.readouterr().out.split("before.jsonl, paired")[1]


def test_a_killed_run_goes_on_where_it_was(corpus: Path, questions: Path, tmp_path: Path, engine: FakeEngine) -> None:
    answers = tmp_path / "answers.jsonl"
    arguments = [
        str(part)
        for part in (
            "--corpus",
            corpus,
            "--questions",
            questions,
            "--context",
            "golden",
            "--url",
            engine.url,
            "--answers",
            answers,
        )
    ]
    command = [sys.executable, ROOT / "chipalign.py", "eval", "qa", *arguments, "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert evaluate(*arguments, "--limit", 1) == 0  # one answer is there
    engine.script = EngineScript(hold_after=0)
    engine.bodies.clear()
    with running(
        subprocess.Popen(list(map(str, command)), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    ) as first:
        deadline = time.monotonic() + 60
        while len(engine.bodies) < 2:  # both others are in flight
            assert time.monotonic() < deadline
            assert first.poll() is None
            time.sleep(0.02)
    with answers.open("a") as file:
        file.write('{"number": 2, "id": "2", "answ')  # as if it had been killed while writing
    engine.reset()
    done = subprocess.run(
        list(map(str, command)), env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    result = json.loads(done.stdout)
    assert (result["counts"]["kept_from_before"], result["counts"]["questions"]) == (1, 3)
    assert len(engine.bodies) == 2
    assert not any("lists antenna" in body["messages"][1]["content"] for body in engine.bodies)
    assert sorted(row["number"] for row in map(json.loads, answers.read_text().splitlines()[1:])) == [1, 2, 3]


def test_answers_of_other_settings_or_prompts_are_not_taken_over(
    corpus: Path, questions: Path, tmp_path: Path, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = tmp_path / "answers.jsonl"
    common = ("--corpus", corpus, "--questions", questions, "--url", engine.url, "--answers", answers)
    assert evaluate(*common, "--context", "golden") == 0
    kept = answers.read_bytes()
    assert evaluate(*common, "--context", "golden", "--max-tokens", 50) == 2
    assert "other settings (max_tokens was 400 and is 50): name another file" in capsys.readouterr().err
    rows = [json.loads(line) for line in kept.decode().splitlines()]
    rows[1]["prompt_hash"] = "of another version of the prompt"
    write_lines(answers, rows)
    assert evaluate(*common, "--context", "golden") == 2
    assert f"holds answers to other prompts (questions {rows[1]['id']})" in capsys.readouterr().err


def test_a_key_of_the_environment_opens_a_gateway(
    corpus: Path,
    questions: Path,
    gateway_at: Any,
    engine: FakeEngine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with gateway_at(engine.url, api_key="s3cret") as url:
        arguments = ("--corpus", corpus, "--questions", questions, "--context", "golden", "--url", url, "--json")
        assert evaluate(*arguments) == 2
        assert "refuses the API key: set CHIPALIGN_API_KEY" in capsys.readouterr().err
        monkeypatch.setenv("CHIPALIGN_API_KEY", "s3cret")
        assert evaluate(*arguments) == 0
        assert "s3cret" not in capsys.readouterr().out


def test_wrong_input_is_one_sentence_and_exit_2(
    corpus: Path, questions: Path, tmp_path: Path, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    without = write_lines(
        tmp_path / "without.jsonl", [{**QUESTIONS[0], "answer": ""}, {**QUESTIONS[1], "answer": " "}, QUESTIONS[2]]
    )
    odd = write_lines(tmp_path / "odd.jsonl", [{**QUESTIONS[0], "answer": ["a"]}])
    unknown = write_lines(tmp_path / "unknown.jsonl", [{**QUESTIONS[0], "reference": ["x_1"]}])
    good: dict[str, Any] = {"--corpus": corpus, "--questions": questions, "--context": "golden", "--url": engine.url}
    cases: dict[str, dict[str, Any]] = {
        "none.jsonl cannot be read": {"--questions": tmp_path / "none.jsonl"},
        'the questions 1, 2 have no "answer"': {"--questions": without},
        'line 1 has an "answer" that is not text': {"--questions": odd},
        "holds no question that documents answer": {"--questions": write_lines(tmp_path / "off.jsonl", QUESTIONS[3:])},
        "not there: x_1": {"--questions": unknown},
        "none.json is not a file": {"--corpus": tmp_path / "none.json"},
        "no server answers at": {"--url": f"http://127.0.0.1:{free_port()}"},
        "--url localhost is not an HTTP address": {"--url": "localhost"},
        "no model 'gpt'": {"--model": "gpt"},
        "holds no tokenizer.json": {"--tokenizer": tmp_path},
        "other.jsonl cannot be read": {"--compare": tmp_path / "other.jsonl"},
        "corpus.json is not a file of answers": {"--compare": corpus},
        "cannot be written": {"--answers": questions / "a.jsonl"},
        "no passage fits beside the questions 1, 2, 3": {"--max-tokens": 3900},
    }
    for sentence, changes in cases.items():
        arguments = [str(part) for name, value in {**good, **changes}.items() for part in (name, value)]
        assert evaluate(*arguments, "--json") == 2, sentence
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.splitlines()[-1].startswith("chipalign eval: "), sentence
        assert sentence in captured.err.splitlines()[-1]
    assert engine.bodies == []  # nothing was asked for nothing


def test_without_rouge_score_one_sentence_says_how_to_get_it(corpus: Path, questions: Path) -> None:
    arguments = [
        "eval",
        "qa",
        "--corpus",
        str(corpus),
        "--questions",
        str(questions),
        "--context",
        "golden",
        "--url",
        "http://127.0.0.1:9",
    ]
    code = f"import sys; sys.modules['rouge_score'] = None; import chipalign; sys.exit(chipalign.main({arguments!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("chipalign eval: ROUGE-L needs the package rouge-score")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["--context", "silver"], ["--max-tokens", "0"], ["--top-k", "x"], ["--index", "i"], []]
)
def test_what_is_asked_must_be_said_rightly(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    good: list[str] = ["--corpus", "c", "--questions", "q", "--context", "golden", "--url", "u"] if arguments else []
    with pytest.raises(SystemExit) as leaving:
        evaluate(*good, *arguments)
    assert leaving.value.code == 2
    assert "usage: chipalign eval qa" in capsys.readouterr().err


def test_a_gateway_is_asked_for_a_grammar_and_another_server_has_none(
    corpus: Path, questions: Path, gateway: str, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--corpus", corpus, "--questions", questions, "--context", "golden", "--grammar")
    assert evaluate(*arguments, "--url", gateway, "--json") == 0
    assert json.loads(capsys.readouterr().out)["settings"]["grammar"] is True
    assert all("root ::=" in body["structured_outputs"]["grammar"] for body in engine.bodies)
    assert evaluate(*arguments, "--url", engine.url) == 2
    assert "not a ChipAlign gateway" in capsys.readouterr().err


@pytest.mark.parametrize("context", ["golden", "retrieved"])
def test_the_documents_answer_in_quotes_without_a_server(
    corpus: Path, questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], context: str
) -> None:
    answers = tmp_path / "answers.jsonl"
    common = (
        "--corpus",
        corpus,
        "--questions",
        questions,
        "--answer",
        "quote",
        "--context",
        context,
        "--answers",
        answers,
    )
    assert evaluate(*common, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["counts"]["answered_in_quotes"], result["counts"]["answered_by_model"]) == (3, 0)
    assert result["measures"]["overall"]["unknown_command"]["mean"] == 0.0
    assert result["measures"]["overall"]["right_command"]["mean"] > 0.5
    rows = {row["id"]: row for row in map(json.loads, answers.read_text().splitlines()[1:])}
    assert "`check_antennas` lists" in rows["1"]["answer"]
    assert evaluate(*common) == 0  # a second run finds every answer in the file
    assert "3 in quotes" in capsys.readouterr().out


def test_a_model_needs_a_server(corpus: Path, questions: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        evaluate("--corpus", corpus, "--questions", questions, "--context", "golden")
    assert ended.value.code == 2
    assert "name it with --url, or let the documents answer with --answer quote" in capsys.readouterr().err
