"""serve.evaluation.retrieval.retrieval_commands:

`chipalign eval retrieval` as a user calls it, on little files of ORD-QA's form and on a real index.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

import chipalign
from rag.command_line import write_jsonl
from rag.embedding.embedder import Embedder
from rag.formats.parser import parse_document
from rag.index.building import build_index
from rag.settings import RagSettings

CORPUS = [
    {
        "source": "antenna_rule_checker",
        "amount": 2,
        "knowledge": [
            {
                "summary": "",
                "id": "arc_0",
                "content": "id:arc_0\n# Antennas\n## Check\n\n`check_antennas` lists nets with antenna violations.\n",
            },
            {
                "summary": "",
                "id": "arc_1",
                "content": "id:arc_1\n# Antennas\n## Repair\n\n`repair_antennas` inserts diode cells at the gates.\n",
            },
        ],
    },
    {
        "source": "gate_resizing",
        "amount": 1,
        "knowledge": [
            {
                "summary": "",
                "id": "gr_0",
                "content": (
                    "id:gr_0\n# Resizer\n\n`repair_timing -hold` inserts delay buffers against hold violations.\n"
                ),
            }
        ],
    },
]
QUESTIONS = [
    {"id": 1, "type": "functionality", "question": "Which command lists antenna violations?", "reference": ["arc_0"]},
    {
        "id": 2,
        "type": "functionality",
        "question": "How are antenna violations found and repaired with diode cells?",
        "reference": ["arc_0", "arc_1"],
    },
    {"id": 3, "type": "vlsi_flow", "question": "How do I repair hold violations?", "reference": ["gr_0"]},
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


def evaluate(*arguments: str | Path) -> int:
    """`chipalign eval retrieval` as it is run."""
    return chipalign.main(["eval", "retrieval", *map(str, arguments)])


def test_json_is_one_document_with_figures_settings_and_files(
    corpus: Path, questions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate("--corpus", corpus, "--questions", questions, "--json") == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert "search: 4 of 4" in captured.err
    overall = result["measures"]["overall"]
    assert overall["questions"] == 3
    assert [name for name in overall if name != "questions"] == [
        "recall@1",
        "recall@3",
        "recall@5",
        "recall@10",
        "recall@15",
        "recall@20",
        "MRR",
        "nDCG@5",
    ]
    assert overall["MRR"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert overall["recall@1"]["mean"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert set(result["measures"]) == {"overall", "functionality", "vlsi_flow"}
    assert [row["id"] for row in result["questions"]] == ["1", "2", "3", "4"]
    assert sorted(result["questions"][1]["ranks"]) == [1, 2]
    assert (result["decision"]["said_rightly"], result["decision"]["missed"]) == (1, 0)
    assert set(result["search_ms"]) == {"searches", "p50", "p95", "p99"}
    assert result["searched"]["sha256"] == hashlib.sha256(corpus.read_bytes()).hexdigest()
    assert (result["searched"]["bytes"], result["searched"]["chunks"]) == (corpus.stat().st_size, 3)
    assert result["asked"]["sha256"] == hashlib.sha256(questions.read_bytes()).hexdigest()
    assert (result["asked"]["questions"], result["asked"]["answerable"]) == (4, 3)
    assert result["spec"]["embedder_fingerprint"] == Embedder.find(RagSettings().embedder).fingerprint
    assert result["settings"]["late_weight"] == 1.0
    assert {"python", "numpy", "faiss-cpu"} <= set(result["versions"])


def test_the_table_shows_each_measure_with_its_interval(
    corpus: Path, questions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate("--corpus", corpus, "--questions", questions, "--top-k", "2", "1") == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["overall", "(3)", "functionality", "(2)", "vlsi_flow", "(1)"] for line in lines)
    assert [line.split()[0] for line in lines if line.startswith("recall@")] == ["recall@1", "recall@2"]
    (mrr,) = [line for line in lines if line.startswith("MRR")]
    assert mrr.split(maxsplit=1)[1].startswith("1.000 [1.000, 1.000]")
    assert '"not in these documents" was said of 1 questions, wrongly of 0, and missed 0 times' in lines
    assert any(line.startswith("precision        1.000 [0.") for line in lines)
    assert any(line.startswith("search    p50 ") for line in lines)


def test_answers_holds_each_questions_hits_in_order(corpus: Path, questions: Path, tmp_path: Path) -> None:
    assert evaluate("--corpus", corpus, "--questions", questions, "--answers", tmp_path / "hits.jsonl", "--json") == 0
    rows = [json.loads(line) for line in (tmp_path / "hits.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ["1", "2", "3", "4"]
    assert (rows[2]["hits"][0]["collection"], rows[2]["hits"][0]["path"]) == ("ready-made", "gr_0.md")
    scores = [hit["score"] for hit in rows[2]["hits"]]
    assert scores == sorted(scores, reverse=True)


def test_misspelled_questions_compare_with_themselves_as_they_stand(
    corpus: Path, questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate("--corpus", corpus, "--questions", questions, "--json") == 0
    (tmp_path / "former.json").write_text(capsys.readouterr().out)
    misspelled = ("--slips", "0.2", "--compare", tmp_path / "former.json")
    assert evaluate("--corpus", corpus, "--questions", questions, *misspelled, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["differences"]["measures"]["overall"]["questions"] == 3
    rows = result["questions"]
    assert [row["question"] for row in rows] == [row["question"] for row in QUESTIONS]
    assert any(row["asked"] != row["question"] for row in rows)


def test_a_former_result_is_compared_with_question_by_question(
    corpus: Path, questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate("--corpus", corpus, "--questions", questions, "--json") == 0
    former = json.loads(capsys.readouterr().out)
    former["questions"][0]["measures"]["recall@1"] = 0.0  # as if the search had been worse
    (tmp_path / "former.json").write_text(json.dumps(former))
    assert evaluate("--corpus", corpus, "--questions", questions, "--compare", tmp_path / "former.json", "--json") == 0
    difference = json.loads(capsys.readouterr().out)["differences"]["measures"]["overall"]
    assert difference["recall@1"]["mean"] == pytest.approx(1 / 3)
    assert difference["recall@5"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert evaluate("--corpus", corpus, "--questions", questions, "--compare", tmp_path / "former.json") == 0
    shown = capsys.readouterr().out.split("former.json, paired")[1]
    assert "recall@1    +0.333 [+0.000, +1.000]" in shown


def test_an_index_is_measured_by_documents_and_headings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = RagSettings.from_env()
    texts = {
        "antenna.md": (
            "# Antenna\n\n## Checking\n\n`check_antennas` lists violations.\n\n## Repair\n\n`repair_antennas` inserts "
            "diodes.\n"
        ),
        "hold.md": "# Hold\n\n`repair_timing -hold` inserts delay buffers.\n",
    }
    documents = [
        parse_document("notes", path, text[2 : text.index("\n")], text, None, "ISC") for path, text in texts.items()
    ]
    build_index(documents, tmp_path / "index", settings, Embedder.find(settings.embedder))
    rows: list[dict[str, Any]] = [
        {
            "question": "How are antenna violations repaired?",
            "kind": "meaning",
            "answerable": True,
            "references": [{"collection": "notes", "path": "antenna.md", "heading": "Repair"}],
        },
        {"question": "repair_timing -hold", "kind": "name", "answerable": True, "expected": [["notes", "hold.md"]]},
    ]
    questions = write_lines(tmp_path / "q.jsonl", rows)
    assert evaluate("--index", tmp_path / "index", "--questions", questions, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert [row["ranks"] for row in result["questions"]] == [[1], [1]]
    assert result["searched"]["path"].endswith("manifest.json")
    assert result["searched"]["collections"] == {"notes": 2}


def test_wrong_input_is_one_sentence_and_exit_2(
    corpus: Path, questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"question": "a", "reference": ["arc_0"]}\nno json\n')
    unknown = write_lines(
        tmp_path / "unknown.jsonl",
        [{"question": "a", "reference": ["x_1", "arc_0"]}, {"question": "b", "reference": ["x_2"]}],
    )
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "other.json").write_text("{}")
    cases = {
        "none.jsonl cannot be read": ("--corpus", corpus, "--questions", tmp_path / "none.jsonl"),
        "none.json cannot be read": ("--corpus", tmp_path / "none.json", "--questions", questions),
        "line 2 is not JSON": ("--corpus", corpus, "--questions", broken),
        "not there: x_1, x_2": ("--corpus", corpus, "--questions", unknown),
        "holds no question": ("--corpus", corpus, "--questions", tmp_path / "empty.jsonl"),
        "no index in": ("--index", tmp_path / "nowhere", "--questions", questions),
        "old.json cannot be read": ("--corpus", corpus, "--questions", questions, "--compare", tmp_path / "old.json"),
        "questions.jsonl is not JSON": ("--corpus", corpus, "--questions", questions, "--compare", questions),
        "the result to compare with is not": (
            "--corpus",
            corpus,
            "--questions",
            questions,
            "--compare",
            tmp_path / "other.json",
        ),
        "hits.jsonl cannot be written": (
            "--corpus",
            corpus,
            "--questions",
            questions,
            "--answers",
            tmp_path / "no-folder" / "hits.jsonl",
        ),
    }
    for sentence, arguments in cases.items():
        assert evaluate(*arguments, "--json") == 2, sentence
        captured = capsys.readouterr()
        message = captured.err.splitlines()[-1]
        assert captured.out == ""
        assert message.startswith("chipalign eval: ")
        assert sentence in message


@pytest.mark.parametrize(
    "arguments", [["--questions", "q"], ["--questions", "q", "--corpus", "c", "--index", "i"], ["--corpus", "c"]]
)
def test_what_is_searched_and_asked_must_be_named_once(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as leaving:
        evaluate(*arguments)
    assert leaving.value.code == 2
    assert "usage: chipalign eval retrieval" in capsys.readouterr().err
