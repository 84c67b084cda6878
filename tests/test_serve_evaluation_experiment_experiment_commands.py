"""`chipalign eval table` and `eval sweep` as they are typed: whole runs before a server on a real socket, resume after
kill -9, refusals, and an engine that does not start.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import chipalign
from rag.command_line import write_jsonl
from tests.fake_openai import FakeOpenAI, chat_answer, likelihood_answer
from tests.processes import running, write_engine
from tests.test_serve_evaluation_qa_qa_commands import CORPUS, QUESTIONS
from tests.tiny_models import write_llama

pytestmark = pytest.mark.usefixtures("home")
ROWS = ("chat", "chip", "linear", "geodesic", "geodesic-0.5", "linear-0.5")
PROMPTS = [
    {"key": n, "prompt": f"Prompt {n}: no commas.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    for n in range(6)
]
CHOICES = [
    {"id": f"m{n}", "domain": ("flow", "bugs")[n % 2], "question": f"Which {n}?", "choices": ["aa", "bb"], "answer": 1}
    for n in range(4)
]
OBEYS = {"chat": 6, "chip": 0, "linear": 3, "geodesic": 4}  # how many of the prompts each model follows


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with small files of questions and documents."""
    for name, rows in (("p", PROMPTS), ("m", CHOICES), ("q", QUESTIONS)):
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
    (tmp_path / "corpus.json").write_text(json.dumps(CORPUS))
    return tmp_path


def respond(path: str, body: dict[str, Any]) -> tuple[int, Any]:
    """Each model follows as many prompts as OBEYS says, prefers b, and has documents' readers repair antennas."""
    if path.endswith("/completions") and "prompt" in body:
        return 200, likelihood_answer(body, lambda prompt, place: -0.5 if prompt[place] == "b" else -2.0)
    asked = body["messages"][-1]["content"]
    if not asked.startswith("Prompt "):
        return 200, chat_answer("Run `repair_antennas` [1].")
    number = int(asked.split(":")[0].split()[1])
    return 200, chat_answer(f"no commas {body['model']}" if number < OBEYS.get(body["model"], 2) else "one, two")


def serve_rows(answer: Any = respond) -> FakeOpenAI:
    return FakeOpenAI(answer, models=[{"id": name, "root": f"/models/{name}", "max_model_len": 8192} for name in ROWS])


def arguments(files: Path, url: str, *more: str, experiment: str = "table") -> list[str]:
    parents = ["--chip", "org/chip", "--instruct", "org/chat", "--out", str(files / "out"), "--engine-url", url]
    return ["eval", experiment, *parents, "--mcq", str(files / "m.jsonl"), "--concurrency", "4", *more]


def read(files: Path, name: str = "table") -> Any:
    return json.loads((files / "out" / f"{name}.json").read_text())


def test_a_whole_table_from_questions_to_report(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    methods = ("--methods", "chat,chip,linear,geodesic")
    with serve_rows() as server:
        command = arguments(files, server.url, *methods, "--ifeval", str(files / "p.jsonl"))
        assert chipalign.main([*command, "--json"]) == 0
        asked = len(server.requests)
        captured = capsys.readouterr()
        report = json.loads(captured.out)
        assert chipalign.main(command) == 0
        assert len(server.requests) == asked  # a finished cell is never run again
    assert asked == 4 * (6 + 4)
    assert json.loads((files / "out" / "results" / "chip" / "ifeval.json").read_text())["settings"]["concurrency"] == 4
    assert report == read(files) | {"command": report["command"]}
    assert report["finished"]
    figures = {
        row: cells["ifeval"]["measures"]["prompt_strict"]["overall"]["mean"] for row, cells in report["rows"].items()
    }
    assert figures == pytest.approx({"chat": 1.0, "chip": 0.0, "linear": 0.5, "geodesic": 4 / 6})
    assert report["rows"]["chip"]["mcq"]["measures"]["acc"]["overall"] == {
        "questions": 4,
        "mean": 1.0,
        "low": 1.0,
        "high": 1.0,
    }
    back = {(item["row"], item["measure"]): item["mean"] for item in report["way_back"]}
    assert back["geodesic", "prompt_strict"] == pytest.approx(4 / 6)
    (difference,) = [
        item
        for item in report["differences"]
        if (item["row"], item["against"], item["measure"]) == ("geodesic", "linear", "prompt_strict")
    ]
    assert difference["mean"] == pytest.approx(1 / 6)
    assert {(item["cell"], item["differ"], item["questions"]) for item in report["answers"]} == {
        ("ifeval", 4, 6),
        ("mcq", 0, 4),
    }
    text = capsys.readouterr().out
    assert text == (files / "out" / "table.md").read_text()
    assert "| geodesic | 0.6 | 0.667 [" in text
    assert re.search(r"row 4 of 4, geodesic: ifeval, mcq to measure; about \d+ min left", captured.err)
    assert (files / "out" / "table.png").read_bytes()[:4] == b"\x89PNG"
    assert "left out: qa: give --qa-corpus" in captured.err


def test_questions_about_documents_are_asked_with_golden_and_retrieved_passages(files: Path) -> None:
    documents = ("--qa-corpus", str(files / "corpus.json"), "--qa-questions", str(files / "q.jsonl"))
    with serve_rows() as server:
        assert (
            chipalign.main(arguments(files, server.url, "--methods", "chat", *documents, "--quick", "--limit", "3"))
            == 0
        )
        lengths = {body["max_tokens"] for path, body in server.requests if path == "/v1/chat/completions"}
    assert lengths == {128}  # --quick
    cells = read(files)["rows"]["chat"]
    assert set(cells) == {"qa_golden", "qa_retrieved", "mcq"}
    assert cells["qa_golden"]["measures"]["rouge_l"]["overall"]["mean"] == pytest.approx((4 / 9 + 1 + 1 / 4) / 3)
    assert cells["qa_retrieved"]["state"] == "done"
    assert len((files / "out" / "questions" / "qa.jsonl").read_text().splitlines()) == 3  # the fourth has no answer
    assert "retrieved" in (files / "out" / "table.md").read_text()


def test_a_sweep_measures_both_methods_between_the_parents(files: Path) -> None:
    with serve_rows() as server:
        assert chipalign.main(arguments(files, server.url, "--lams", "0,0.5,1", experiment="sweep")) == 0
    report = read(files, "sweep")
    assert list(report["rows"]) == ["chat", "chip", "geodesic-0.5", "linear-0.5"]
    assert ("geodesic-0.5", "linear-0.5") in {(item["row"], item["against"]) for item in report["differences"]}
    assert (files / "out" / "sweep.png").is_file()


def test_only_the_cells_that_are_wanted_are_asked_for(files: Path) -> None:
    with serve_rows() as server:
        more = ("--ifeval", str(files / "p.jsonl"), "--cells", "mcq", "--lams", "0.5", "--methods", "linear")
        assert chipalign.main(arguments(files, server.url, *more, experiment="sweep")) == 0
        assert {path for path, _ in server.requests} == {"/v1/completions"}
    report = read(files, "sweep")
    assert {name: set(cells) for name, cells in report["rows"].items()} == {
        name: {"mcq"} for name in ("chat", "chip", "linear-0.5")
    }
    assert "ifeval: it is none of --cells" in report["plan"]["left_out"]


def test_a_killed_run_goes_on_where_it_was(files: Path) -> None:
    held, reached = threading.Event(), threading.Event()

    def hold_last(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if "prompt" in body and "Which 3?" in body["prompt"][0]:
            reached.set()
            held.wait(60)
        return respond(path, body)

    with serve_rows(hold_last) as server:
        command = arguments(files, server.url, "--methods", "chat", "--ifeval", str(files / "p.jsonl"))
        with running(subprocess.Popen([sys.executable, "-m", "chipalign", *command], stderr=subprocess.DEVNULL)):
            assert reached.wait(60)
            kept = files / "out" / "results" / "chat" / "mcq.answers.jsonl"
            lines, deadline = 4, time.monotonic() + 20  # settings and the three others
            while len(kept.read_text().splitlines()) < lines and time.monotonic() < deadline:
                time.sleep(0.05)
        held.set()
        with contextlib.suppress(OSError):  # the evaluation that it had started ends with it, and lets go of its file
            wait_for_lock(kept)
        server.requests.clear()
        assert chipalign.main(command) == 0
        assert {path for path, _ in server.requests} <= {"/v1/completions"}  # ifeval was finished
        assert len(server.requests) <= 1  # of mcq at most the held question was open
    assert read(files)["finished"]


def test_ctrl_c_ends_the_run_and_what_it_started_and_says_that_it_goes_on(files: Path) -> None:
    held, reached = threading.Event(), threading.Event()

    def hold(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        reached.set()
        held.wait(60)
        return respond(path, body)

    with serve_rows(hold) as server:
        command = [sys.executable, "-m", "chipalign", *arguments(files, server.url, "--methods", "chat")]
        with running(subprocess.Popen(command, stderr=subprocess.PIPE, text=True)) as process:
            assert reached.wait(60)
            process.send_signal(signal.SIGINT)
            _, words = process.communicate(timeout=60)
        wait_for_lock(files / "out" / "results" / "chat" / "mcq.answers.jsonl")
        held.set()
    assert process.returncode == 130
    assert words.splitlines()[-1] == f"stopped; the same command goes on in {files / 'out'}"
    assert not (files / "out" / "results" / "chat" / "mcq.json").exists()


def test_weights_that_changed_under_the_same_name_are_another_experiment(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("chip", "chat"):
        (files / name).mkdir()
        (files / name / "model.safetensors").write_bytes(name.encode())
    (files / "r.toml").write_text('[chip]\nmodel = "chip"\n[chat]\nmodel = "chat"\n')
    with serve_rows() as server:
        command = [
            "eval",
            "table",
            str(files / "r.toml"),
            "--out",
            str(files / "out"),
            "--engine-url",
            server.url,
            "--methods",
            "chat",
        ]
        command += ["--mcq", str(files / "m.jsonl")]
        assert chipalign.main(command) == 0
        (files / "chip" / "model.safetensors").write_bytes(b"trained on")
        assert chipalign.main(command) == 2
        assert len(server.requests) == 4
    last = capsys.readouterr().err.splitlines()[-1]
    assert "(parents.chip.model_content was 'sha256 " in last
    assert "chat.model_content" not in last


def wait_for_lock(path: Path) -> None:
    """Return once nobody holds the file."""
    import fcntl

    with path.open("ab") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)


def test_another_plan_in_the_same_folder_is_refused_with_what_differs(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve_rows() as server:
        assert chipalign.main(arguments(files, server.url, "--methods", "chat")) == 0
        before = (files / "out" / "plan.json").read_bytes()
        assert (
            chipalign.main(arguments(files, server.url, "--methods", "chat,geodesic", "--lam", "0.5", "--limit", "2"))
            == 2
        )
        asked = len(server.requests)
    last = capsys.readouterr().err.splitlines()[-1]
    assert "holds another experiment (" in last
    assert "rows.geodesic.lam was not there and is 0.5" in last
    assert "cells.mcq.asked_sha256 was '" in last
    assert asked == 4
    assert (files / "out" / "plan.json").read_bytes() == before


def test_a_cell_that_fails_is_reported_and_tried_again_and_the_others_go_on(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse_chat(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        is_refused = "messages" in body and body["model"] == "chat"
        return (400, {"error": {"message": "no chat today"}}) if is_refused else respond(path, body)

    with serve_rows(refuse_chat) as server:
        command = arguments(files, server.url, "--methods", "chat,chip", "--ifeval", str(files / "p.jsonl"))
        assert chipalign.main(command) == 2
        captured = capsys.readouterr()
        assert re.match(r"chipalign eval: 1 \w+ could not be measured \(chat ifeval: ", captured.err.splitlines()[-1])
        assert "no chat today" in captured.err.splitlines()[-1]
        assert "| chat | 0 | failed | failed | 1.000 [1.000, 1.000] |" in captured.out
        server.answer = respond
        assert chipalign.main(command) == 0
    assert read(files)["rows"]["chat"]["ifeval"]["state"] == "done"


def test_a_server_that_is_gone_fails_the_whole_row(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serve_rows() as server:
        url = server.url
    assert chipalign.main(arguments(files, url, "--methods", "chat", "--ifeval", str(files / "p.jsonl"))) == 2
    assert f"chat mcq: the engine ended: nothing answers at {url}" in capsys.readouterr().err.splitlines()[-1]


def test_an_engine_that_does_not_start_is_reported_and_its_model_is_kept(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = "import sys\nsys.exit(f'api_server.py: error: unrecognized arguments: {sys.argv[-1]}')\n"
    monkeypatch.setenv("PYTHONPATH", str(write_engine(files, refusing)))  # vLLM itself takes ten seconds to refuse
    monkeypatch.setenv("CHIPALIGN_ENGINE_ARGS", "--no-such-option")
    chip, chat = (write_llama(files / name, seed) for seed, name in enumerate(("chip", "chat")))
    command = [
        "eval",
        "table",
        "--chip",
        str(chip),
        "--instruct",
        str(chat),
        "--out",
        str(files / "out"),
        "--methods",
        "chat",
    ]
    assert chipalign.main([*command, "--mcq", str(files / "m.jsonl")]) == 2
    reason = read(files)["rows"]["chat"]["mcq"]["reason"]
    assert "the engine ended while starting" in reason
    assert "unrecognized arguments: --no-such-option" in reason
    model = files / "out" / "models" / "chat"
    assert (model / "config.json").is_file()
    assert "lam = 0.0" in (files / "out" / "models" / "chat.toml").read_text()
    assert "could not be measured" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--qa-corpus", "corpus.json"), "give questions about them with --qa-questions"),
        (("--qa-questions", "q.jsonl"), "give these with --qa-corpus or --index"),
        (("--index", "."), "manifest.json is not a file"),
        (("--ifeval", "none.jsonl"), "none.jsonl cannot be read"),
        (("--methods", "chat,ties"), "ties need"),
        (("--methods", "mean"), "mean: the rows are"),
        (("--cells", "qa,mcq"), "--cells names qa: the columns are qa_golden"),
        (("--cells", ""), "--cells names nothing"),
        (("--cells", "ifeval"), "leaves nothing to measure"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(
    files: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    more: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(files)
    assert chipalign.main(arguments(files, "http://127.0.0.1:9", *more)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not (files / "out").exists()


@pytest.mark.parametrize("more", [("--lam", "2"), ("--limit", "0"), ("--engine-url", "here"), ("--lam", "0,1")])
def test_unknown_options_are_refused_by_the_parser(files: Path, more: tuple[str, str]) -> None:
    with pytest.raises(SystemExit) as ended:
        chipalign.main(arguments(files, "http://127.0.0.1:9", *more))
    assert ended.value.code == 2
