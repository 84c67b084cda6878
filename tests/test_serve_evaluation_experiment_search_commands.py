"""`chipalign eval search` as it is typed: tiny merges on disk, each served by a program in vLLM's place, and by vLLM.

The program's likelihoods are a formula of the lam that the served folder's own report names.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import chipalign
from merge.arithmetic.choice import find_arithmetic
from merge.commands.search_commands import Opened
from merge.merging.merger import open_parents
from merge.models.parents import Resolver
from merge.recipe_file import load_recipe
from merge.settings import MergeSettings
from merge.tuning.likelihood import Scorer
from merge.tuning.questions import Question
from serve.evaluation.experiment.run import find_free_port
from serve.evaluation.experiment.served_merge import ServedMerge, own_engine
from serve.settings import ServeSettings
from tests.fake_openai import FakeOpenAI
from tests.processes import write_engine
from tests.tiny_models import write_llama

pytestmark = pytest.mark.usefixtures("home")
ENGINE = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

model, port = (sys.argv[sys.argv.index(name) + 1] for name in ("--model", "--port"))
report = json.loads((Path(model) / "merge_report.json").read_text())
lams = [tensor["lam"] for tensor in report["tensors"]]
lam = sum(lams) / len(lams)
with open(os.environ["SERVED"], "a") as file:
    file.write(f"{lam:.3f}\\n")

class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_GET(self):
        self.send(200, {"data": [{"id": "trial", "max_model_len": 128}]})
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if os.environ.get("MODE") == "dies":
            print("RuntimeError: out of memory", flush=True)
            os._exit(1)
        logprobs = [None, *({str(token): {"logprob": -1 - (lam - 0.4) ** 2}} for token in body["prompt"][1:])]
        if os.environ.get("MODE") == "window":
            return self.send(400, {"error": {"message": "the model's maximum context length is 4 tokens"}})
        self.send(200, {"choices": [{"index": 0} if os.environ.get("MODE") == "mute" else
                                    {"index": 0, "prompt_logprobs": logprobs}]})
    def send(self, status, document):
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

HTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny pair, a recipe, questions of both goals, and a program in vLLM's place."""
    for seed, side in enumerate(("chip", "chat"), start=1):
        write_llama(tmp_path / side, seed)
    (tmp_path / "r.toml").write_text('[merge]\n[chip]\nmodel = "chip"\n[chat]\nmodel = "chat"\n')
    rows = [
        {"id": f"{goal}{n}", "goal": goal, "messages": [{"role": "user", "content": "slack"}], "answer": "fix hold"}
        for goal in ("chip", "chat")
        for n in range(10)
    ]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(write_engine(tmp_path, ENGINE)), *sys.path]))
    monkeypatch.setenv("SERVED", str(tmp_path / "served"))
    return tmp_path


def command(place: Path, *more: str) -> list[str]:
    files = [str(place / "r.toml"), "--eval", str(place / "q.jsonl"), "--out", str(place / "out")]
    return ["eval", "search", *files, "--trials", "4", *more]


def served(place: Path) -> list[float]:
    """The lam of each engine that was started."""
    return [float(line) for line in (place / "served").read_text().split()]


def test_each_trial_is_what_an_engine_serves_and_the_search_goes_on(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODE", "dies")
    assert chipalign.main(command(place)) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "the engine ended while it was asked: RuntimeError: out of memory (log: " in last
    assert "the same command goes on with this trial" in last

    monkeypatch.delenv("MODE")
    (place / "served").unlink()
    assert chipalign.main(command(place, "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert [trial["lams"] for trial in found["trials"]] == [[0.6], [0.0], [1.0], [0.4]]
    assert [trial["values"][0] for trial in found["trials"]] == pytest.approx([-1.04, -1.16, -1.36, -1])
    assert found["best"]["lams"] == [0.4]
    assert found["better"]
    assert served(place) == [0.6, 0, 1, 0.4, 0, 1, 0.6, 0.4]  # the trials, then what confirms
    assert not (place / "out" / "serving" / "model").exists()

    assert chipalign.main(command(place, "--trials", "5")) == 0
    captured = capsys.readouterr()
    assert "taking up a search of 4 trials" in captured.err
    assert "trial 5 of 5: lam 0.8" in captured.err
    assert "20 answers in" not in captured.err
    assert "10 answers in" in captured.err
    assert served(place)[8] == 0.8


def test_an_engine_of_ones_own_is_started_by_its_command(place: Path) -> None:
    port = find_free_port()
    engine = f"{sys.executable} -m vllm.entrypoints.openai.api_server --model {{model}} --port {port}"
    own = ("--engine", engine, "--url", f"http://127.0.0.1:{port}/v1")
    assert chipalign.main(command(place, *own, "--trials", "1")) == 0
    assert served(place) == [0.6, 0, 1, 0.6]
    assert "lam = 0.6" in (place / "out" / "recipe.toml").read_text()


def test_a_search_in_memory_is_not_taken_up_on_an_engine(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert chipalign.main(["merge", *command(place, "--trials", "1")[1:]]) == 0
    assert chipalign.main(command(place, "--trials", "1")) == 2
    assert "trials.jsonl is of another search" in capsys.readouterr().err.splitlines()[-1]


def test_what_answers_already_is_not_asked_in_the_merges_place(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeOpenAI(lambda path, body: (200, {})) as server:
        assert chipalign.main(command(place, "--engine", "sleep {model}", "--url", server.url)) == 2
        assert server.requests == []
    assert f"something answers at {server.url} already" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("mode", "more", "message"),
    [
        ("mute", (), "gives no prompt_logprobs, which vLLM does"),
        ("window", (), "the model's window is too small: the model's maximum context length is 4 tokens"),
        ("", ("--engine", "vllm serve {model}"), "--engine and --url belong together"),
        ("", ("--url", "http://gpu:8000"), "--engine and --url belong together"),
        ("", ("--engine", "vllm serve x", "--url", "http://gpu:8000"), "does not say which folder it serves"),
        ("", ("--engine", "vllm 'serve {model}", "--url", "http://gpu:8000"), "is not a command"),
        ("", ("--engine", "vllm {model}", "--url", "gpu"), "--url is 'gpu'"),
        ("", ("--engine", "false {model}", "--url", "http://127.0.0.1:9"), "the engine ended while starting"),
        ("", ("--engine", "no-such-program {model}", "--url", "http://127.0.0.1:9"), "no-such-program"),
    ],
)
def test_why_it_cannot_be_searched_is_one_line(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    more: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.setenv("MODE", mode)
    assert chipalign.main(command(place, *more)) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("chipalign eval: ")
    assert message in last


@pytest.mark.stack
@pytest.mark.usefixtures("one_thread")
def test_vllm_finds_answers_as_likely_as_the_model_in_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shape: dict[str, Any] = {"hidden_size": 128, "num_attention_heads": 2, "num_key_value_heads": 1}
    for seed, side in enumerate(("chip", "chat"), start=1):
        write_llama(tmp_path / side, seed, **shape)
    (tmp_path / "r.toml").write_text('[merge]\nlam = 0.3\n[chip]\nmodel = "chip"\n[chat]\nmodel = "chat"\n')
    monkeypatch.setenv("CHIPALIGN_ENGINE_ARGS", "--dtype float32 --max-num-seqs 4")
    recipe, arithmetic = load_recipe(tmp_path / "r.toml"), find_arithmetic("cpu")
    questions = [
        Question("one", "chip", "Question: fix hold\nAnswer:", (" slack", " with", " repair_timing"), 2),
        Question("two", "chat", ({"role": "user", "content": "hold slack"},), ("fix hold",)),
    ]
    with Resolver(recipe.base, MergeSettings(), lambda text: None, threads=1) as resolver, ExitStack() as stack:
        parents = resolver.resolve_sides(recipe.parents())
        opened = Opened(recipe, parents, open_parents(parents, recipe, stack, arithmetic), arithmetic, 1)
        settings = ServeSettings.from_env()
        merge = ServedMerge(opened, tmp_path / "serving", own_engine(settings), concurrency=2, settings=settings)
        merge.set_weights(recipe)
        scorer = Scorer(recipe, opened.pair, arithmetic, threads=1)
        scorer.set_weights(recipe)
        assert merge.score(questions) == pytest.approx(scorer.score(questions), abs=0.03)  # bfloat16 in memory, perhaps
    assert "4 answers in" in capsys.readouterr().err
