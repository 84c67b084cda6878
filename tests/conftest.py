"""Fixtures that several test files share: a small real index, a small real tokenizer, the gateway on a real socket.

Heavy libraries and the packages under test are imported by the fixtures that need them, so that a single test starts
within seconds.
"""

from __future__ import annotations

import gc
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import hypothesis
import pytest

from tests.attack import Attack, table

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from rag.search.retriever import Retriever
    from serve.settings import ServeSettings
    from serve.store.database import Database
    from serve.tokens.counter import TokenCounter
    from tests.fake_engine import FakeEngine

Gateway = Callable[..., AbstractContextManager[str]]  # what `gateway_at` gives
OpenAIAt = Callable[..., Any]  # what `openai_at` gives; its types are too narrow for what we pass and read

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a script
    signal.signal(signal.SIGINT, signal.default_int_handler)  # processes that tests start get Ctrl-C there too

hypothesis.settings.register_profile("any machine", deadline=None)  # a busy machine is not a failure
hypothesis.settings.load_profile("any machine")

# Files that take longest (docs/measurements/tests.md), the longest first: a process that began one of them late would
# leave the others without work at the end
LONGEST = (
    "test_stack",
    "test_ui_page",
    "test_serve_evaluation_experiment_experiment_commands",
    "test_serve_running_commands",
    "test_rag_hostile",
    "test_merge_training_training",
    "test_ui_page_chat_app",
    "test_merge_commands_merge_commands",
    "test_rag_training_contrastive",
    "test_merge_training_triplet_commands",
    "test_serve_evaluation_qa_qa_commands",
    "test_rag_commands_index_commands",
)
SIX_DOCUMENTS = {  # title: text
    "Antenna repair": (
        "Antenna violations are fixed with the command `repair_antennas`, which inserts diode cells near the gates of "
        "the nets."
    ),
    "Hold fixing": (
        "Hold violations are repaired with `repair_timing -hold`, which inserts delay buffers after clock tree "
        "synthesis."
    ),
    "Power grid": (
        "The power grid is made by `pdngen`: it adds straps and vias between the metal layers so that the IR drop stays"
        " small."
    ),
    "Reading Liberty": (
        "`read_liberty` reads the timing library of a corner; `define_corners` names the corners before any library is "
        "read."
    ),
    "Reset synchronizer": (
        "A reset synchronizer asserts reset at once and releases it on the clock edge, through two flip-flops in "
        "series."
    ),
    "Scan chains": (
        "Scan insertion replaces flip-flops by scan flip-flops and stitches them into chains; patterns are shifted in "
        "at `si<wire>`."
    ),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add options: `--screenshot FILE` for the picture of the page's test on the real engine, `--attack full`.

    `--attack full` runs attacks at length, and `--need-postgres` lets no test of PostgreSQL be skipped.
    """
    parser.addoption("--clients", metavar="DIR", help="run real clients, installed into this folder (test_clients.py)")
    parser.addoption("--screenshot", metavar="FILE", help="keep the picture of the page that test_stack.py takes")
    parser.addoption(
        "--need-postgres", action="store_true", help="fail where no PostgreSQL can be started, rather than skip"
    )
    parser.addoption(
        "--attack", choices=("quick", "full"), default="quick", help="how often the tests marked `attack` try"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-k`, leave files unread that hold none of its words: to import them all takes half a minute.

    A word that no file holds may be one of a parameter that is made when it is read: then all are read.
    """
    holding = files_holding(config.getoption("keyword"))
    return True if holding and collection_path.suffix == ".py" and collection_path not in holding else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage while modules are imported, and none of theirs afterwards: they stay to the end.

    A collection looks at a few million objects of torch, transformers and the tests themselves: half a second each.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, then those that attack (few tests, long ones), then those with most.

    `--no-loadscope-reorder` keeps this order.
    """
    places = {name: place for place, name in enumerate(LONGEST)}
    counts = Counter(item.path for item in items)

    def turn(item: pytest.Item) -> tuple[int, bool, int, Path]:
        stem = item.path.stem
        return places.get(stem, len(LONGEST)), not stem.startswith("test_attack_"), -counts[item.path], item.path

    items.sort(key=turn)


@cache
def files_holding(expression: str) -> frozenset[Path]:
    """The test files that hold an expression's words in name or text, all or any of them; none for one with `not`."""
    words = set(re.findall(r"\w+", expression.lower()))
    if not words or "not" in words:
        return frozenset()
    enough = any if "or" in words else all
    files = Path(__file__).parent.glob("test_*.py")
    texts = {path: f"{path}\n{path.read_text(encoding='utf-8')}".lower() for path in files}
    return frozenset(path for path, text in texts.items() if enough(word in text for word in words - {"and", "or"}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A table of what was attacked and how often it failed, and one of clients; other processes included."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    if clients := [value for report in reports for name, value in report.user_properties if name == "client"]:
        terminalreporter.section("clients")
        for row in (["client", "version", "chat", "stream", "responses", "tool", "answer", "citations"], *clients):
            terminalreporter.write_line(f"| {' | '.join(row)} |")
    accounts = [tuple(value) for report in reports for name, value in report.user_properties if name == "attack"]
    if accounts:
        terminalreporter.section("attack")
        for line in table(accounts):
            terminalreporter.write_line(line)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Limit libraries to one thread: a second is not faster here, and on busy cores a hundred times slower.

    Of a module, so that it is there before what a module trains once.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB, where we may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def attack(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Attack:
    """How often to try in this run, and where the account goes."""
    return Attack(request.config.getoption("--attack") == "full", lambda account: record_property("attack", account))


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_this_machine() -> Iterator[None]:
    """Hide the settings and the proxies of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("CHIPALIGN_") or name.lower() in ("http_proxy", "https_proxy", "all_proxy"):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def small_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a real index over six documents."""
    from rag.embedding.embedder import Embedder
    from rag.formats.parser import parse_document
    from rag.index.building import build_index
    from rag.settings import RagSettings

    folder = tmp_path_factory.mktemp("six")
    settings = RagSettings(home=folder)
    documents = [
        parse_document(
            "notes", f"{title.lower().replace(' ', '-')}.md", title, f"# {title}\n\n{text}\n", None, "Apache-2.0"
        )
        for title, text in SIX_DOCUMENTS.items()
    ]
    build_index(documents, folder / "index", settings, Embedder.find(settings.embedder))
    return folder / "index"


@pytest.fixture(scope="session")
def small_retriever(small_index: Path) -> Retriever:
    """The small index, opened with the real embedder."""
    from rag.search.retriever import Retriever
    from rag.settings import RagSettings

    return Retriever.open(small_index, RagSettings(home=small_index.parent))


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokenizer whose tokens are words and signs, and a chat template; no weights."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("checkpoint")
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<|im_end|>")
    fast.chat_template = "{% for m in messages %}<{{ m.role }}> {{ m.content }} {% endfor %}<assistant>"
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def counter(small_checkpoint: Path) -> TokenCounter:
    """A counter of words and signs."""
    from serve.tokens.counter import TokenCounter

    return TokenCounter.load(small_checkpoint)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium: Debian's, else Playwright's own; where neither starts, tests are skipped with the reason.

    Of a module and not of the session: Playwright keeps an event loop running in the main thread, where asyncio.run of
    a later test file would fail. A start takes a second.
    """
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        reasons = []
        for path in dict.fromkeys((shutil.which("chromium"), None)):  # None: Playwright's own
            try:
                # As root, as in a container, Chromium has no sandbox
                started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            except Error as error:
                reasons.append(f"{path or 'playwright'}: {error.message.strip().splitlines()[0]}")
                continue
            yield started
            started.close()
            return
        pytest.skip("no Chromium can be started: " + "; ".join(reasons))


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a PostgreSQL; where none can be started, tests are skipped with the reason."""
    from tests.postgres import NoPostgres, running_postgres

    with ExitStack() as stack:
        try:
            url = stack.enter_context(running_postgres())
        except (NoPostgres, ImportError) as error:
            reason = f"no PostgreSQL can be started: {error}"
            if request.config.getoption("--need-postgres"):
                pytest.fail(reason)
            pytest.skip(reason)
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def store_settings(request: pytest.FixtureRequest, tmp_path: Path) -> ServeSettings:
    """Settings with a new store: SQLite's, then PostgreSQL's."""
    from serve.settings import ServeSettings
    from tests.postgres import with_schema

    if request.param == "sqlite":
        return ServeSettings(home=tmp_path / "home")
    url = with_schema(request.getfixturevalue("postgres_server"), f"test_{uuid.uuid4().hex}")
    return ServeSettings(home=tmp_path / "home", store_url=url)


@pytest.fixture
def database(store_settings: ServeSettings) -> Iterator[Database]:
    """A new store, on both databases."""
    from serve.store.database import open_database

    opened = open_database(store_settings)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def shared_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A store in SQLite for many examples, each of which leaves it empty."""
    from serve.store.database import Database
    from serve.store.sqlite import SqliteEngine

    opened = Database(SqliteEngine(tmp_path_factory.mktemp("shared")))
    yield opened
    opened.close()


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def gateway_at(small_retriever: Retriever, counter: TokenCounter, tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    """A context manager that runs the gateway before an engine's URL, on a real socket, and gives the gateway's URL.

    It searches `store`, or what `newest` gives, or the six documents; `counted_by` counts its tokens; `changes` are
    settings. The model words the answers unless settings say otherwise. With `reopen`, which has `newest` give what was
    built, clients upload files, which `build` builds.
    """
    from serve.gateway.app import create_app
    from serve.gateway.connections import make_server
    from serve.settings import ServeSettings

    @contextmanager
    def run(
        engine_url: str,
        store: Any = None,
        newest: Any = None,
        counted_by: Any = None,
        reopen: Any = None,
        build: Any = None,
        **changes: Any,
    ) -> Iterator[str]:
        port = free_port()
        given = {"answer": "model", "home": tmp_path_factory.mktemp("gateway") / "home", **changes}
        settings = ServeSettings(gateway_port=port, engine_url=engine_url, **given)
        newest = newest or (lambda: store or small_retriever)
        app = create_app(settings, newest, counted_by or counter, reopen=reopen, build=build)
        server = make_server(app, settings)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        try:
            wait_until_up(f"http://127.0.0.1:{port}/health")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join(10)

    return run


@pytest.fixture(scope="module")
def shared_engine() -> Iterator[FakeEngine]:
    from tests.fake_engine import FakeEngine

    with FakeEngine() as fake:
        yield fake


@pytest.fixture(scope="module")
def shared_gateway(gateway_at: Gateway, shared_engine: FakeEngine) -> Iterator[str]:
    with gateway_at(shared_engine.url) as url:
        yield url


@pytest.fixture(scope="module")
def uploading(
    gateway_at: Gateway, shared_engine: FakeEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A gateway whose clients upload."""
    from tests.uploading import uploading_gateway

    with uploading_gateway(gateway_at, shared_engine.url, tmp_path_factory.mktemp("uploads")) as url:
        yield url


@pytest.fixture
def engine(shared_engine: FakeEngine) -> FakeEngine:
    """The engine, reset."""
    shared_engine.reset()
    return shared_engine


@pytest.fixture
def gateway(shared_gateway: str, engine: FakeEngine) -> str:
    """The gateway that the tests of a file share, before a reset engine."""
    return shared_gateway


@pytest.fixture
def fresh_gateway(gateway_at: Gateway, engine: FakeEngine) -> Iterator[str]:
    """A gateway that has counted nothing yet."""
    with gateway_at(engine.url) as url:
        yield url


def wait_until_up(url: str, timeout_s: float = 20.0) -> None:
    """Return once the URL answers 200."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        assert time.monotonic() < deadline, f"{url} does not answer"
        time.sleep(0.05)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of commands that a test runs in this process: it does not exist yet; no mirror is set."""
    monkeypatch.setenv("CHIPALIGN_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CHIPALIGN_MIRROR", raising=False)
    return tmp_path / "home"


@pytest.fixture
def openai_at() -> Iterator[OpenAIAt]:
    """OpenAI's own client, made for a gateway's URL; each is closed with the test."""
    import openai

    with ExitStack() as stack:

        def connect(url: str, api_key: str = "none", timeout: float = 20) -> Any:
            """A client that asks once."""
            client = openai.OpenAI(base_url=f"{url}/v1", api_key=api_key, max_retries=0, timeout=timeout)
            return stack.enter_context(client)

        yield connect
