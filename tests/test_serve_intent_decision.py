"""serve.intent.decision: a question for the documents, or a task on the caller's own text."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from serve.evaluation.prompts.prompts import read_prompts, summarize
from serve.intent.decision import why_not_asked
from tests.rows import for_each

ROOT = Path(__file__).parent.parent
HISTORY = "<chat_history>\nUSER: How is hold fixed?\nASSISTANT: With repair_timing [1].\n</chat_history>"
LOG = "[INFO GRT-0020] Min layer: metal2\n[ERROR GRT-0118] Routing congestion too high.\nError: route.tcl, 30 GRT-0118"
SDC = "```tcl\ncreate_clock -period 2 [get_ports clk]\nset_false_path -to [all_outputs]\n```"
PYTHON = "```python\ndef add(a, b):\n    return a - b\n```"


def decide(*turns: str, system: str = "") -> str | None:
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    roles = ("user", "assistant")
    messages += [{"role": roles[place % 2], "content": turn} for place, turn in enumerate(turns)]
    return why_not_asked(messages)


# Tasks


ONLY_COMMANDS = "Give only zsh commands for macOS, without a word of description. If details are missing, guess."


@for_each(
    ("system", "user", "why"),
    [
        (f"You are Command Maker\n{ONLY_COMMANDS}", "Request: find all files above 1 GB", "task"),
        ("", f"{ONLY_COMMANDS}\n\nRequest: which process listens on port 8080", "task"),
        ("You are a Shell Command Generator.", "count the lines of all logs", "task"),
        ("", "You convert plain words into Linux commands.\nRequest: unpack a.tar.zst", "task"),
        ("Provide only code, nothing beside it.", "fibonacci in rust", "task"),
        (ONLY_COMMANDS, "Request: run a yosys script on top.v", None),
        (ONLY_COMMANDS, "Request: report the slack with report_checks", None),
        ("You help with Linux and the shell. Answer in about 100 words.", "What is clock skew?", None),
        ("", "Which shell commands of OpenROAD read a LEF?", None),
    ],
)
def test_what_a_terminal_assistant_asks_is_a_task_unless_it_names_a_tool(
    system: str, user: str, why: str | None
) -> None:
    assert decide(user, system=system) == why


@pytest.mark.parametrize(
    "prompt",
    [
        "Extract the person: John is 30 years old.",
        "Extract Maria is 41 and works in Graz",
        "Pull the date and the place out of this mail:\n\nShall we meet on 4 May in room B12?",
        "Translate to German: The meeting is at ten.",
        "Translate to German: Which command repairs antenna violations?",
        'How do you say this in French: "the net is routed twice"',
        "Übersetze ins Englische: Der Takt ist zu schnell.",
        "把下面这句话翻译成英文：时钟树综合之后保持时间变差了。",
        "Summarize: The board met on Friday. The line opens in May.",
        "tl;dr of this thread?\n\nmax: it died again\nlea: take the big machine",
        "Proofread: Their are to many violations.",
        'Can you rephrase this sentence so that it is more formal: "the chip is toast"',
        'Is this sentence in active or passive voice? "The wafers were shipped on Monday."',
        "Classify the following message as spam or not:\n\nYou have won a free wafer!",
        'Turn this JSON into YAML:\n{"clock": {"period": 2.5}}',
        "squash these commit messages into one:\n- fix\n- fix again",
        "Write a git commit message for this diff:\n\n- return a - b\n+ return a + b",
        f"Write unit tests for this function\n{PYTHON}",
        f"what does this function return for a=3, b=1?\n{PYTHON}",
        "Write a reply to this email that says we accept.\n\nHi, would Thursday suit you? Best, Kim",
        'Write a concise summary of the following:\n\n"The tool builds a timing graph."\n\nCONCISE SUMMARY:',
    ],
)
def test_work_on_text_that_comes_along_is_a_task(prompt: str) -> None:
    assert decide(prompt) == "task"


@pytest.mark.parametrize(
    "prompt",
    [
        f'### Task:\nGenerate a short title with an emoji for the chat.\n### Output:\nJSON: {{"title": ""}}\n{HISTORY}',
        f'### Task:\nGive 1-3 broad tags of its themes.\nJSON only: {{"tags": []}}\n{HISTORY}',
        f'### Task:\nSuggest follow-up questions.\nJSON: {{"follow_ups": []}}\n{HISTORY}',
        f'Decide whether the last message needs a search. JSON only: {{"queries": []}}\n{HISTORY}',
        "Go on with the text as its writer would, at most ten words.\n<text>How do I set the core util</text>",
        "Rephrase the follow up to a standalone question.\n\nHuman: hold?\nAssistant: buffers\nFollow up: how many?",
        "Write three versions of the given user question for a vector database.\nOriginal question: how is hold fixed?",
        "Given a title-less chat, reply with a title for the following text:\n\nHold is fixed by buffers.",
    ],
)
def test_what_a_chat_page_asks_for_itself_is_a_task(prompt: str) -> None:
    assert decide(prompt) == "task"


@pytest.mark.parametrize(
    "last",
    [
        "Please name our conversation with a title of four to five words.",
        "Summarize the discussion briefly to use as a prompt for future context.",
        "Predict the three questions that the human will ask next, as a JSON array.",
        "Create a handover for another model that will continue: what was done, what is left.",
    ],
)
def test_what_is_made_of_the_conversation_before_is_a_task(last: str) -> None:
    assert decide("How is hold fixed?", "With repair_timing [1].", last) == "task"


@pytest.mark.parametrize(
    ("system", "user"),
    [
        ("Provide a concise title for the conversation. Only return the title itself.", "User: hold?\nAI: buffers"),
        ("You are a professional translator. Output only the translation.", "How do I set the core utilization?"),
        ("You are a helpful assistant that translates English to French.", "I love programming."),
        ("Summarise the text in three bullet points.", "Ana is done. Ben waits for the PLL."),
        ("You are an expert extraction algorithm. Only extract relevant information.", "Al is 6 feet tall."),
        ("Classify the text of the user as bug or praise.", "The viewer crashes, can you look into it?"),
        ("You check whether a message is safe. Reply with 'safe' or 'unsafe'.", "How do I bypass the gate?"),
        ("You are an expert at writing Git commits. Write a short message.", "- a\n+ b"),
        ("你是一个专业的翻译引擎，请将文本翻译成英文", "如何修复保持时间"),
        ("Act as an expert developer. Answer in *SEARCH/REPLACE blocks*.", "fix the bug in add()"),
    ],
)
def test_a_system_message_can_make_a_task_of_all_that_is_said(system: str, user: str) -> None:
    assert decide(user, system=system) == "task"


@pytest.mark.parametrize(
    "prompt",
    [
        "<|fim_prefix|>def add(a, b):\n    return <|fim_suffix|>\n<|fim_middle|>",
        f"{PYTHON}\n\nRewrite the above code so that it adds. Output only code.",
        f"Add type hints and a docstring to this function\n\n{PYTHON}",
        "This is the prefix of the file:\n```py\na\n```\nThis is the code to rewrite:\n```py\nb\n```\nRequest: faster",
        "Rename the variable tmp in the selected code.\n<selection>\nint tmp = 0;\ntmp += a[i];\n</selection>",
    ],
)
def test_an_edit_of_code_is_a_task(prompt: str) -> None:
    assert decide(prompt) == "task"


@pytest.mark.parametrize(
    ("system", "user"),
    [
        ("", '### Task:\nAnswer the user query by the context.\n<context><source id="1">Leave is 30 days.</source>'
         "</context>\n<user_query>How many days of leave do I have?</user_query>"),
        ("Answer from the sources in <context>, cite them as [id].",
         '<context>\n<source id="1" name="ring.txt">Alder has 64 pads.</source>\n</context>\n\nHow many pads?'),
        ("Use the following pieces of context to answer.\n\nAlder was taped out in May in a 130 nm process.", "When?"),
        ("Given the chat, answer.\nContext:\n[CONTEXT 0]:\nThe PLL locks in 20 us.\n[END CONTEXT 0]", "How fast?"),
        ("", "Context information is below.\n-----\nBirch has 48 pads and two PLLs.\n-----\nQuery: how many?\nAnswer:"),
        ("", "Answer the question based only on the following context:\nThe lab closes at eight.\n\nQuestion: When?"),
        ("<files><file><filename>a</filename><context>\nThe tour starts at nine.\n</context></file></files>", "When?"),
    ],
)  # fmt: skip
def test_who_brings_context_is_answered_from_it(system: str, user: str) -> None:
    assert decide(user, system=system) == "own_context"


# Questions


@pytest.mark.parametrize(
    "prompt",
    [
        "Which command repairs antenna violations?",
        "global_route -allow_congestion",
        "GRT-0118",
        f"why?\n\n{LOG}",
        f"Fix this please:\n{LOG}",
        LOG,
        f"What is wrong with this SDC?\n{SDC}",
        f"Explain this script:\n{SDC}",
        f"{SDC}\nIs the order of these two lines important?",
        "Convert this Innovus script to OpenROAD:\n```tcl\nplaceDesign\n```",
        "Which command repairs antenna violations? Reply as JSON with the key command.",
        "Explain hold slack in one sentence.",
        "Summarize the options of global_route.",
        "Give me a summary of the antenna checker: what it reads and what it writes",
        "Extract parasitics after routing: which command, and which file does it need?",
        "translate_off pragma yosys",
        "Rewrite rules of techmap: where are they documented?",
        "What is the title of the report, and can I change its tags?",
        "Write a Tcl script that reads a Liberty file and reports the worst path.",
        'From the manual:\n\n"-max_length sets the longest wire."\n\nIs that in microns?',
        "Context: we run on a cluster.\n\nQuestion: does CTS have an option that lowers its memory?",
        "What does the <context> element of the technology file mean?",
        "Use the provided documentation and say which command draws the power grid",
        "如何修复保持时间违例？",
        "提取寄生参数用哪个命令？",
        "Erkläre bitte, wie die Zeitanalyse mit mehreren Takten umgeht.",
        "<task>\nWhich variable sets the die area?\n</task>\n<environment_details>a.tcl</environment_details>",
    ],
)
def test_a_question_is_one_in_all_its_forms(prompt: str) -> None:
    assert decide(prompt) is None


@pytest.mark.parametrize(
    "system",
    [
        "You are a helpful assistant.",
        "You can translate, summarize, write code and answer questions. Use Markdown.",
        "Answer from the provided documentation, cite your sources, and say so when you do not know.",
        "Given the following conversation, relevant context, and a follow up question, reply with an answer to it.",
        "You are a coding agent. Plan, then apply patches. Write commit messages in the imperative.",
        "You are an expert AI programming assistant, working with a user in the VS Code editor.",
        "You are a friendly engineer. You translate jargon into plain words and summarise when asked.",
        "Analyze the user's question step by step, then answer it.",
        "Answer in German.",
        "Always output valid JSON with the keys answer and sources.",
    ],
)
def test_a_system_message_of_an_assistant_leaves_a_question_one(system: str) -> None:
    assert decide("Which option of repair_timing sets the hold margin?", system=system) is None


def test_only_the_last_turn_of_the_user_decides() -> None:
    assert decide("Translate to German: good morning", "Guten Morgen", "Which command writes a DEF?") is None
    assert decide("Which command writes a DEF?", "write_def", "Translate to German: good morning") == "task"
    assert decide("How do I repair setup violations?", "With repair_timing.", "and for hold?") is None
    assert decide("Summarize the options of global_route.", "They are ...", "shorter please") is None


def test_a_tools_result_does_not_hide_the_question_before_it() -> None:
    result = {"role": "tool", "tool_call_id": "c1", "content": "Summarize this text: ..."}
    assert why_not_asked([{"role": "user", "content": "Which command writes a DEF?"}, result]) is None


# How often


def test_the_open_half_of_our_prompts_is_told_apart() -> None:
    prompts = read_prompts(ROOT / "data/eval/prompts.jsonl").values()
    measures = summarize(prompt for prompt in prompts if prompt.split == "open")["measures"]
    assert measures["recall"]["mean"] >= 0.98
    assert measures["precision"]["mean"] >= 0.95
    assert measures["exact_query"]["mean"] == 1


def test_none_of_a_thousand_questions_about_documents_is_taken_for_a_task() -> None:
    lines = (ROOT / "data/training/questions.jsonl").read_text(encoding="utf-8").splitlines()[::9]
    questions = [json.loads(line)["question"] for line in lines]
    assert len(questions) > 1000
    assert [question for question in questions if decide(question)] == []


@pytest.mark.parametrize(
    "piece", ["<a>", "<context>", "``` ", "you are a ", '"a b c ', "user: ", "summarize this ", "。"]
)
@pytest.mark.parametrize("role", ["system", "user"])
def test_a_prompt_made_to_cost_time_costs_little(piece: str, role: str) -> None:
    started = time.perf_counter()
    why_not_asked([{"role": role, "content": piece * (1_000_000 // len(piece))}, {"role": "user", "content": "hold?"}])
    assert time.perf_counter() - started < 5


@for_each(
    "message",
    [
        "%Warning-WIDTH: a.sv:8:3: Width differs\n        a.sv:2:9: ... Expected width of this statement's text:",
        "[ERROR ODB-0200] Name is long. Rewrite this statement's text:",
        "top.v:12: warning. Prefer spacing of the following statement's words:",
    ],
)
def test_a_message_of_a_tool_orders_nothing(message: str) -> None:
    assert decide(f"{message}\n\nthe other file has the same slip and nothing is reported there") is None
    assert decide(f"Summarize this log in one sentence:\n{message}") == "task"
