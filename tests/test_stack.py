"""The main job on real parts:

`chipalign up` merges, indexes and runs a real vLLM, a gateway and a page, and people use them.

One `up` serves all tests of this file, in the order in which they stand: the last ones kill the engine and stop
everything.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest
from playwright.sync_api import Browser, expect

from rag.answering.names import unknown_names
from tests.commands import run_command
from tests.conftest import OpenAIAt, free_port
from tests.processes import write_engine
from ui.page.chat_app import EXAMPLES

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("one_thread")]
MODEL = "chipalign-demo"
QUESTION = "What is a clock domain crossing?"
MULTIPLE_CHOICE: dict[str, Any] = {
    "id": "m1",
    "domain": "flow",
    "question": "What follows placement?",
    "answer": 0,
    "choices": ["Clock tree synthesis", "Logic synthesis", "Writing RTL", "Tape-out of the mask set"],
}
INSTRUCTION = {
    "key": 1,
    "prompt": "Name a flip-flop. Use no commas.",
    "instruction_id_list": ["punctuation:no_comma"],
    "kwargs": [{}],
}
ROOT = Path(__file__).parent.parent
PATIENCE_S = 600.0  # a first `up` on two busy cores
NODE_CLIENT = Path(__file__).parent / "node_client"  # with a lock of the npm package it needs


@dataclass
class Up:
    """A running `chipalign up` with everything that it has printed."""

    process: subprocess.Popen[str]
    home: Path
    env: dict[str, str]
    gateway_url: str
    page_url: str
    lines: list[str] = field(default_factory=list)

    def text(self) -> str:
        return "".join(self.lines)

    def wait_for(self, words: str, timeout_s: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + timeout_s
        while words not in self.text():
            assert self.process.poll() is None, f"`up` ended with {self.process.returncode}:\n{self.text()}"
            assert time.monotonic() < deadline, f"no {words!r} within {timeout_s:.0f} s in:\n{self.text()}"
            time.sleep(0.1)

    def processes(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def engine(self) -> psutil.Process:
        lines = [(process, " ".join(process.cmdline())) for process in self.processes()]
        (engine,) = [
            process for process, line in lines if "vllm.entrypoints" in line and "serve.running.guard" not in line
        ]
        return engine


def start_up(home: Path, **more: str) -> Up:
    """Run `chipalign up` on ports of its own; the page's and the gateway's output goes to the home's logs."""
    ports = {name: free_port() for name in ("gateway", "engine", "page")}
    env = {**os.environ, "CHIPALIGN_HOME": str(home), "CHIPALIGN_CORPORA": "none", "CHIPALIGN_ANSWER": "model", **more}
    env |= {f"CHIPALIGN_{name.upper()}_PORT": str(port) for name, port in ports.items()}
    command = [sys.executable, "-m", "chipalign", "up"]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    up = Up(process, home, env, f"http://127.0.0.1:{ports['gateway']}", f"http://127.0.0.1:{ports['page']}")

    def collect() -> None:
        assert process.stdout is not None
        with process.stdout as output:
            up.lines.extend(iter(output.readline, ""))

    threading.Thread(target=collect, daemon=True).start()
    return up


def stop(up: Up) -> None:
    up.process.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        up.process.wait(60)
    up.process.kill()
    up.process.wait()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def own_document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A document of a company's own, which its list of sources names."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "docs").mkdir()
    (folder / "sources.toml").write_text('[heron]\npath = "docs"\n')
    document = folder / "docs" / "pads.md"
    document.write_text("# Heron pad ring\n\nThe Heron pad ring needs a setup margin of 70 ps.\n")
    return document


@pytest.fixture(scope="module")
def up(home: Path, own_document: Path) -> Iterator[Up]:
    started = start_up(home, CHIPALIGN_SOURCES=str(own_document.parent.parent / "sources.toml"))
    try:
        started.wait_for("ChipAlign is running")
        yield started
    finally:
        stop(started)


def is_running(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def test_up_ends_at_a_panel_with_the_addresses_the_model_and_the_index(up: Up) -> None:
    up.wait_for("Ctrl-C")
    panel = up.text()
    for words in (
        up.page_url,
        f"{up.gateway_url}/v1",
        "geodesic merge at lam = 0.6",
        "from handbook",
        str(up.home / "logs")[:40],
    ):
        assert words in panel.replace("\n", "") or words in panel


def read_report(home: Path) -> Any:
    return json.loads((home / "models" / MODEL / "merge_report.json").read_text(encoding="utf-8"))


def test_the_merged_models_angles_are_those_of_the_adapters_card(up: Up) -> None:
    totals = read_report(up.home)["totals"]
    card = " ".join((ROOT / "data/adapters/smollm2-135m-eda/README.md").read_text(encoding="utf-8").split())
    stated = re.search(
        r"angle between both parents, per tensor: ([\d.]+) degrees in the median, ([\d.]+) at most", card
    )
    assert stated is not None
    assert totals["theta_degrees"]["median"] == pytest.approx(float(stated[1]), abs=0.006)
    assert totals["theta_degrees"]["max"] == pytest.approx(float(stated[2]), abs=0.006)
    # Norms and embeddings, which the adapter leaves alone, and the rest
    assert totals["branches"] == {"equal": 62, "geodesic": 210}


def test_the_parents_are_named_with_version_licence_and_hash(up: Up) -> None:
    chip, chat = (read_report(up.home)["parents"][name] for name in ("chip", "chat"))
    assert (chat["licence"], chip["blake3"]) == ("Apache-2.0", chat["blake3"])
    assert chip["adapter"]["licence"] == "cc-by-4.0"


def test_the_merged_model_answers_as_a_chat_model(up: Up) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = (
        kind.from_pretrained(up.home / "models" / MODEL) for kind in (AutoModelForCausalLM, AutoTokenizer)
    )
    assert model.dtype == torch.bfloat16
    messages = [{"role": "user", "content": "What is the capital of France? Answer in one sentence."}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    answer = model.generate(**prompt, max_new_tokens=24, do_sample=False)[0][prompt["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(answer)


def test_the_python_client_gets_a_whole_answer_with_citations(up: Up, openai_at: OpenAIAt) -> None:
    answer = openai_at(up.gateway_url, timeout=120).chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": QUESTION}], max_tokens=60
    )
    message = answer.choices[0].message
    assert message.content
    assert message.annotations
    assert all(
        0 <= a.url_citation.start_index < a.url_citation.end_index <= len(message.content) for a in message.annotations
    )
    retrieval: Any = answer.model_extra["retrieval"]
    assert "clock-domain-crossing.md" in {hit["path"] for hit in retrieval["hits"]}
    assert httpx.get(message.annotations[0].url_citation.url).status_code == 200
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0


def test_the_documents_answer_in_their_own_words_where_that_is_asked_for(up: Up) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": QUESTION}], "retrieval": {"answer": "quote"}}
    first, second = (
        httpx.post(f"{up.gateway_url}/v1/chat/completions", json=body, timeout=120).json() for _ in range(2)
    )
    texts = {hit["number"]: hit["text"] for hit in first["retrieval"]["hits"]}
    assert first["retrieval"]["quotes"]
    for quote in first["retrieval"]["quotes"]:
        assert texts[quote["number"]][quote["start"] : quote["end"]] == quote["text"]
    assert first["choices"][0]["message"]["content"] == second["choices"][0]["message"]["content"]


def test_the_pages_own_examples_are_answered_whole(up: Up) -> None:
    facts = [
        ("repair_antennas", "after global routing"),
        ("set_false_path", "set_multicycle_path", "more than one clock cycle"),
        ("repair_timing -hold", "setup slack"),
        ("`CORE_UTILIZATION`", "`PLACE_DENSITY`"),
    ]
    for example, wanted in zip(EXAMPLES, facts, strict=True):
        body = {"model": MODEL, "messages": [{"role": "user", "content": example}], "retrieval": {"answer": "quote"}}
        sent = httpx.post(f"{up.gateway_url}/v1/chat/completions", json=body, timeout=120).json()
        answer = sent["choices"][0]["message"]["content"]
        assert [fact for fact in wanted if fact not in answer] == [], example


def test_a_document_that_changes_while_up_runs_is_answered_from_anew(up: Up, own_document: Path) -> None:
    asked = [{"role": "user", "content": "Which setup margin does the Heron pad ring need?"}]
    body = {"model": MODEL, "messages": asked, "retrieval": {"answer": "quote", "collections": ["heron"]}}

    def answer() -> str:
        found = httpx.post(f"{up.gateway_url}/v1/chat/completions", json=body, timeout=120).json()
        return str(found["choices"][0]["message"]["content"])

    assert "a setup margin of 70 ps" in answer()
    own_document.write_text(own_document.read_text().replace("70 ps", "95 ps"))
    deadline = time.monotonic() + PATIENCE_S
    while "a setup margin of 95 ps" not in (said := answer()):
        assert time.monotonic() < deadline, said
        time.sleep(0.5)
    assert "70 ps" not in said


def test_the_python_client_gets_a_streamed_answer_with_citations(up: Up, openai_at: OpenAIAt) -> None:
    stream = openai_at(up.gateway_url, timeout=120).chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": QUESTION}], max_tokens=60, stream=True
    )
    chunks: list[Any] = list(stream)
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert len(pieces) > 5
    assert chunks[0].retrieval["hits"]
    assert chunks[-1].choices[0].delta.annotations


def test_the_node_client_gets_both_kinds_of_answer_with_citations(up: Up, tmp_path: Path) -> None:
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("Node and npm are not installed")
    shutil.copytree(NODE_CLIENT, tmp_path, dirs_exist_ok=True)
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=tmp_path, check=True)
    done = subprocess.run(
        ["node", "client.mjs", f"{up.gateway_url}/v1", QUESTION],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["text"] == "".join(seen["pieces"])  # greedy: both ways give the same words
    assert seen["cited"] == seen["annotations"]
    assert seen["annotations"][0]["type"] == "url_citation"
    assert seen["passages"] >= 1
    assert seen["response"]["text"] == "".join(seen["response"]["deltas"]) == seen["text"]
    cited = [each["url_citation"]["url"] for each in seen["cited"]]
    assert [each["url"] for each in seen["response"]["cited"]] == cited
    assert seen["models"][:2] == [MODEL, f"{MODEL}-plain"]
    assert seen["refusal"] == {"name": "BadRequestError", "status": 400, "param": "messages"}


def test_fields_that_only_vllm_knows_reach_it(up: Up, openai_at: OpenAIAt) -> None:
    schema = {"type": "object", "properties": {"cell": {"type": "string", "maxLength": 12}}, "required": ["cell"]}
    answer = openai_at(up.gateway_url, timeout=120).chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Name a standard cell."}],
        max_tokens=60,
        response_format={"type": "json_schema", "json_schema": {"name": "cell", "schema": schema}},
        extra_body={"retrieval": {"enabled": False}, "return_token_ids": True},
    )
    assert set(json.loads(answer.choices[0].message.content or "")) == {"cell"}
    assert answer.choices[0].model_extra["token_ids"]


def test_a_tool_that_must_be_called_is_called_whole_and_streamed(up: Up, openai_at: OpenAIAt) -> None:
    parameters = {"type": "object", "properties": {"corner": {"enum": ["slow", "fast"]}}, "required": ["corner"]}
    tool: Any = {"type": "function", "function": {"name": "report_slack", "parameters": parameters}}
    messages = [{"role": "user", "content": QUESTION}]
    asked: dict[str, Any] = {"model": MODEL, "messages": messages, "tools": [tool], "max_tokens": 60}
    completions = openai_at(up.gateway_url, timeout=120).chat.completions
    for choice in ("required", {"type": "function", "function": {"name": "report_slack"}}):
        message = completions.create(**asked, tool_choice=choice).choices[0].message
        [call] = message.tool_calls
        deltas: list[Any] = [
            each
            for chunk in completions.create(**asked, tool_choice=choice, stream=True)
            for each in (chunk.choices[0].delta.tool_calls or () if chunk.choices else ())
        ]
        streamed = "".join(each.function.arguments or "" for each in deltas)
        assert [call.function.name, *(each.function.name for each in deltas if each.function.name)] == [
            "report_slack",
            "report_slack",
        ]
        assert json.loads(call.function.arguments) == json.loads(streamed)
        assert json.loads(streamed)["corner"] in ("slow", "fast")


def test_the_engine_can_say_no_name_that_it_was_not_given(up: Up) -> None:
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Write a Python function that adds two numbers, and call it."}],
    }
    names = {}
    for grammar in (False, True):
        asked = {**body, "max_tokens": 60, "retrieval": {"enabled": False, "grammar": grammar}}
        answer = httpx.post(f"{up.gateway_url}/v1/chat/completions", json=asked, timeout=120).json()
        text = answer["choices"][0]["message"]["content"]
        assert "```python" in text
        names[grammar] = [name.text for name in unknown_names(text, frozenset())]
    assert names[False], "the model invented no name without a grammar: ask it something else"
    assert names[True] == []

    deadline = time.monotonic() + 60
    while (guidance := httpx.get(f"{up.gateway_url}/v1/models").json()["data"][0]["guidance"])["grammar"] == "unknown":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert guidance == {"grammar": "obeyed", "repetition_detection": "obeyed"}


def test_a_follow_up_is_searched_with_its_conversation(up: Up) -> None:
    turns = [("user", "How are setup violations fixed?"), ("assistant", "By faster paths."), ("user", "and for hold?")]
    body = {"model": MODEL, "messages": [{"role": role, "content": text} for role, text in turns], "max_tokens": 8}
    retrieval = httpx.post(f"{up.gateway_url}/v1/chat/completions", json=body, timeout=120).json()["retrieval"]
    assert retrieval["query"] == "How are setup violations fixed? and for hold?"
    assert "hold-fixing.md" in {hit["path"] for hit in retrieval["hits"]}


def test_a_question_about_something_else_is_not_answered_by_invention(up: Up) -> None:
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Which bus goes to the football stadium in Madrid?"}],
    }
    answer = httpx.post(f"{up.gateway_url}/v1/chat/completions", json=body, timeout=120).json()
    assert "found nothing" in answer["choices"][0]["message"]["content"]
    assert answer["retrieval"]["hits"] == []


def test_a_question_longer_than_the_context_window_is_refused(up: Up, openai_at: OpenAIAt) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        openai_at(up.gateway_url, timeout=120).chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "clock " * 9000}]
        )
    assert caught.value.code == "context_length_exceeded"


def test_the_gateway_counts_tokens_as_the_engine_does(up: Up) -> None:
    from serve.tokens.counter import TokenCounter

    messages = [
        {"role": "system", "content": "You know chips."},
        {"role": "user", "content": "What does `set_wire_rc -layer met2` do?\n\n[1] ..."},
    ]
    engine_url = f"http://127.0.0.1:{up.env['CHIPALIGN_ENGINE_PORT']}"
    counted = httpx.post(f"{engine_url}/tokenize", json={"model": MODEL, "messages": messages}).json()["count"]
    assert TokenCounter.load(up.home / "models" / MODEL).count_messages(messages) == counted


def test_the_evaluations_measure_the_model_at_the_real_engine(up: Up, tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text(json.dumps(MULTIPLE_CHOICE) + "\n")
    (tmp_path / "p.jsonl").write_text(json.dumps(INSTRUCTION) + "\n")
    engine_url = f"http://127.0.0.1:{up.env['CHIPALIGN_ENGINE_PORT']}"

    def evaluate(*arguments: str) -> Any:
        done = run_command("eval", *arguments, "--json", CHIPALIGN_HOME=str(up.home))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    measured = evaluate("mcq", "--questions", str(tmp_path / "q.jsonl"), "--url", engine_url)
    assert measured["model"]["root"] == str(up.home / "models" / MODEL)
    row = json.loads(Path(measured["answers"]["path"]).read_text().splitlines()[1])
    # vLLM computes in bfloat16, transformers here in float32
    assert row["loglikelihoods"] == pytest.approx(likelihoods_by_transformers(up.home / "models" / MODEL), rel=0.05)
    followed = evaluate("ifeval", "--prompts", str(tmp_path / "p.jsonl"), "--url", engine_url, "--max-tokens", "40")
    answer = json.loads(Path(followed["answers"]["path"]).read_text().splitlines()[1])["response"]
    assert followed["measures"]["prompt_level_strict_acc"]["mean"] == float("," not in answer)


def likelihoods_by_transformers(checkpoint: Path) -> list[float]:
    """The log-likelihood of each choice of MULTIPLE_CHOICE, from the logits of a plain forward pass."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = (
        AutoTokenizer.from_pretrained(checkpoint),
        AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32),
    )
    context = f"Question: {MULTIPLE_CHOICE['question']}\nAnswer:"
    sums = []
    for choice in MULTIPLE_CHOICE["choices"]:
        ids = torch.tensor([tokenizer(f"{context} {choice}").input_ids])
        start = len(tokenizer(context).input_ids)
        with torch.no_grad():
            log_probabilities = model(ids).logits[0].log_softmax(-1)
        sums.append(sum(log_probabilities[place - 1, ids[0, place]].item() for place in range(start, ids.shape[1])))
    return sums


def test_ask_answers_in_the_terminal(up: Up, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = ["ask", QUESTION, "--url", up.gateway_url]
    command = [sys.executable, "-m", "chipalign", *ask]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    assert "Clock domain crossing" in done.stdout  # a source
    monkeypatch.setattr(sys, "stdin", None)  # nothing is piped in
    document = json.loads(run_command(*ask, "--json").stdout)
    assert document["answer"]
    assert document["sources"]


# How long the answer was each time the page drew it, noted by the browser: a test that asks for it misses some.
RECORD_LENGTHS = """() => {
    window.lengths = new Set();
    new MutationObserver(() => {
        const answer = document.querySelector(".st-key-answering");
        if (answer) window.lengths.add(answer.innerText.length);
    }).observe(document.body, {childList: true, subtree: true, characterData: true});
}"""


def test_the_page_shows_an_answer_as_it_comes_and_opens_its_sources(
    up: Up, browser: Browser, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    page = browser.new_context(viewport={"width": 1280, "height": 900}, device_scale_factor=1).new_page()
    page.goto(up.page_url)
    expect(page.get_by_text("Ready")).to_be_visible(timeout=60_000)
    page.evaluate(RECORD_LENGTHS)
    box = page.get_by_placeholder("Ask a chip-design question")
    box.fill(QUESTION)
    box.press("Enter")
    expect(page.locator(".st-key-answering")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("button", name="Stop")).to_have_count(0, timeout=120_000)
    assert page.evaluate("window.lengths.size") > 3, "the answer did not grow on the page"
    answer = page.locator(".st-key-answer-0")
    expect(answer).not_to_be_empty(timeout=60_000)
    expect(answer.locator("[class*=st-key-source-0-]").first).to_contain_text("handbook", timeout=20_000)
    target = request.config.getoption("--screenshot") or tmp_path / "page.png"
    page.wait_for_timeout(700)  # the frame of the sources opens with an animation
    page.screenshot(path=str(target))
    assert Path(target).stat().st_size > 10_000


def test_a_second_up_on_the_same_home_says_so(up: Up) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "chipalign", "up"], env=up.env, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.startswith("chipalign up: another `chipalign up` runs on")


def test_an_engine_that_is_killed_mid_answer_breaks_off_clearly_and_comes_back(up: Up, openai_at: OpenAIAt) -> None:
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": 400,
        "min_tokens": 400,
        "stream": True,
    }
    before = up.engine()
    events = []
    with httpx.stream("POST", f"{up.gateway_url}/v1/chat/completions", json=body, timeout=120) as response:
        for line in response.iter_lines():
            if line.startswith("data: "):
                events.append(line[6:])
                if len(events) == 5:
                    for process in [*before.children(recursive=True), before]:
                        process.kill()
    error = json.loads(events[-1])["error"]
    assert error["code"] in ("upstream_error", "engine_unavailable")
    assert "[DONE]" not in events
    with pytest.raises(openai.APIStatusError) as caught:
        openai_at(up.gateway_url, timeout=120).chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": QUESTION}]
        )
    assert caught.value.status_code == 503
    up.wait_for("engine: ended with status -9; restart 1 in 1 s", 30)
    deadline = time.monotonic() + 300
    while httpx.get(f"{up.gateway_url}/ready").status_code != 200:
        assert time.monotonic() < deadline, up.text()
        time.sleep(0.5)
    assert up.engine().pid != before.pid


def test_ctrl_c_stops_every_process(up: Up) -> None:
    processes = up.processes()
    assert len(processes) >= 3
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(60) == 0
    assert not [process for process in processes if is_running(process)]
    up_lines = up.text()
    assert "stopped; nothing is left running" in up_lines


def test_a_second_up_reuses_the_model_and_the_index(up: Up, home: Path, own_document: Path, tmp_path: Path) -> None:
    assert up.process.poll() is not None
    manifest = (home / "indexes" / "starter" / "manifest.json").read_bytes()
    weights = (home / "models" / MODEL / "model.safetensors").stat().st_mtime_ns
    # vLLM would take the cores from the gateway, whose start is all that is waited for
    sleeping = write_engine(tmp_path, "import time\ntime.sleep(600)\n")
    sources = own_document.parent.parent / "sources.toml"
    again = start_up(home, PYTHONPATH=f"{sleeping}{os.pathsep}{ROOT}", CHIPALIGN_SOURCES=str(sources))
    try:
        again.wait_for("gateway: ready")  # model and index are prepared by then
        assert "restart" not in again.text()
    finally:
        stop(again)
    assert again.process.returncode == 0
    assert (home / "indexes" / "starter" / "manifest.json").read_bytes() == manifest
    assert (home / "models" / MODEL / "model.safetensors").stat().st_mtime_ns == weights
    assert len(list((home / "models").glob("smollm2-135m-instruct*"))) == 1  # both parents stand on one conversion
    assert not list((home / "models").glob(".*"))
