"""The walls of the house: who may import whom, where the environment is read, what is never used."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = {  # a file imports only files, and rooms, that stand before it here
    "merge": (
        "errors files settings command_line layout dtypes kernels geodesic cuda recipe baselines checkpoint gguf_header"
        " staging adapters vocabulary names pairing plan companions parents passes report journal preview survey plots "
        "merger verify sweep card progress bench commands bootstrap eval_progress endpoint answers collect "
        "question_file chat ifeval_checker ifeval mcq turn_rules judge judging multiturn eval_commands "
        "multiturn_commands training_data training adapt_commands"
    ),
    "rag": (
        "errors settings home typed_json arrays printable progress command_line child blocks passages documents "
        "archive_members archive corpus includes markdown rst script python_code verilog eda_data csv_table plain_text "
        "manpage html_page word pdf_layout pdf parser sandbox parsed_cache reader sources folder_lock block_splitting "
        "chunker query model_folder processor eight_bit bert_files bert library_model embedder passage_reader "
        "fingerprint servers embeddings_api served_embedder embedder_choice dense milvus bm25 eda_tools pasted_log "
        "clauses late fusion growth_bench training_state glossary selection reference chunk_store manifest generation "
        "index_content index_folder index index_stats relevance retriever live langchain_retriever metrics questions "
        "evaluation relevance_fit reference_check embed_bench exclusion answering training_pairs contrastive "
        "triplet_phrases triplet_tables triplet_templates triplet_tasks triplet_questions hit_view qa_measures "
        "qa_answers qa_client qa_prompts qa_quotes answer_questions answer_scores calibration triplets qa_summary "
        "index_commands reference_commands commands eval_commands qa_commands answer_commands adapt_commands "
        "triplet_commands reader_commands"
    ),
    "serve": (
        "errors settings strict_json protocol sse metrics auth visitors admission log_lines template_worker templates "
        "tokens slots weights engine_answers upstream guidance chat verification prose passage_page routes "
        "reference_routes app connections engine machine guard supervisor step panel up doctor bench commands "
        "experiment experiment_inputs experiment_run experiment_scores experiment_report experiment_plots "
        "eval_commands"
    ),
    "ui": (
        "plain_text errors settings verification events client conversation store heartbeat escaping markdown_parser "
        "rendering transcript chat_app page_guard page_server mrkdwn slack_events slack_blocks slack_delivery "
        "slack_queue slack_bot pasted terminal commands"
    ),
}
ROOMS = {  # folders within a package; what stands before the room in its package may be imported in it
    "rag/reference": (
        "cards messages sections synopses tables usages descriptions drafts examples extraction storage card_view "
        "tclint_schema"
    ),
    "rag/answering": (
        "units examples names grammar facts opposites sentences loops citations prompt scoring evidence reader_training"
        " lessons wording unknown_options windows support editing code_worker code_checks scoring_fit support_fit"
    ),
}
MAY_IMPORT = {"merge": set(), "rag": set(), "serve": {"rag"}, "ui": set()}
SOURCES = [path for folder in (*LAYERS, *ROOMS) for path in sorted((ROOT / folder).glob("*.py"))]


def folder_of(path: Path) -> str:
    return path.parent.relative_to(ROOT).as_posix()


def modules_in(folder: Path) -> set[str]:
    rooms = {path.parent.name for path in folder.glob("*/__init__.py")}
    return {path.stem for path in folder.glob("*.py")} - {"__init__"} | rooms


def above(order: str, name: str) -> list[str]:
    names = order.split()
    return names[: names.index(name)] if name in names else []


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("folder", [*LAYERS, *ROOMS])
def test_every_file_has_its_place_in_the_order(folder: str) -> None:
    assert modules_in(ROOT / folder) == set({**LAYERS, **ROOMS}[folder].split())


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_file_imports_only_what_stands_above_it(path: Path) -> None:
    folder = folder_of(path)
    package, _, room = folder.partition("/")
    allowed = set(above(LAYERS[package], room or path.stem))
    if room:
        allowed |= {f"{room}.{name}" for name in above(ROOMS[folder], path.stem)}
    for name in imported(path):
        top, _, rest = name.partition(".")
        if top == package and rest:
            first, second = (*rest.split("."), "")[:2]
            assert {
                first,
                f"{first}.{second}",
            } & allowed or rest == room, f"{path.stem} imports {name}, which stands below it"
        elif top in LAYERS:
            assert top == package or top in MAY_IMPORT[package], f"{package} may not import {name}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_file_imports_vllm_or_pickle(path: Path) -> None:
    assert not {name.split(".")[0] for name in imported(path)} & {"vllm", "pickle", "dill", "joblib", "shelve"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_file_says_what_it_does(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")), clean=False)
    assert docstring
    assert path.name == "__init__.py" or "    " in docstring, "a file's docstring shows one call"


def test_the_environment_is_read_in_settings_alone() -> None:
    for path in SOURCES:
        names = {
            node.attr
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Attribute)
        }
        assert path.stem == "settings" or not names & {
            "environ",
            "getenv",
        }, f"{path.parent.name}/{path.name} reads the environment"
