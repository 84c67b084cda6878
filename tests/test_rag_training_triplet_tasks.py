"""rag.training.triplet_tasks: how a task is done, with the command, a call that a Tcl shell would take, and the
manual's own words about its options.
"""

from __future__ import annotations

import random
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.documents import Chunk, Document, make_chunk
from rag.training.triplet_tasks import (
    MOST_WORDS,
    Task,
    ask_options,
    ask_steps,
    ask_task,
    drafts_of_tasks,
    example_call,
    find_tasks,
)
from rag.training.triplet_templates import Draft, usages_of_documents
from tests.rows import for_each

ROUTE = """The `route_all` command connects the pins of all nets.

```tcl
route_all
    [-guide_file file]
    [-steps count]
    [-fast|-slow]
```
"""
OPTIONS = """| Switch Name | Description |
| --- | --- |
| `-guide_file` | Set the file that the guides are written to. |
| `-steps` | The number of steps that are made at most. |
| `-fast` | Route in little time. |
| `-lost` | Set an option that no synopsis has. |
"""
PLACE = """Use the `place_all` command to put every cell into a row. Rows must be there.

```tcl
place_all -density share
    [-seed number]
```
"""
HEADED = """It is the last step.

```tcl
write_guides
    file
```
"""


def chunk(text: str, position: int, heading: str, path: str = "route.md", collection: str = "docs") -> Chunk:
    return make_chunk(
        Document(collection, path, "Routing", "", None, "BSD-3-Clause"), ("Commands", heading), text, position
    )


def manual() -> list[Chunk]:
    """A manual whose options stand in a chunk of their own, as long ones do."""
    return [
        chunk(ROUTE, 0, "Route All"),
        chunk(OPTIONS, 1, "Options"),
        chunk(PLACE, 2, "Place All"),
        chunk(HEADED, 3, "Write Guides to a File"),
    ]


def tasks_of(chunks: list[Chunk]) -> list[Task]:
    return list(find_tasks(chunks, usages_of_documents(chunks)["docs", "route.md"]))


def drawn(seeds: int = 40) -> list[Draft]:
    return [draft for seed in range(seeds) for draft in drafts_of_tasks(manual(), seed)]


def test_a_task_is_what_the_paragraph_above_the_synopsis_says_or_else_the_heading() -> None:
    tasks = {task.command: task.task for task in tasks_of(manual())}
    assert tasks == {
        "route_all": "connect the pins of all nets",
        "place_all": "put every cell into a row",
        "write_guides": "write guides to a file",
    }


def test_options_of_the_next_chunk_belong_to_the_command_that_is_called_with_them() -> None:
    route, place, _ = tasks_of(manual())
    assert [option.row.name for option in route.options] == ["-guide_file", "-steps", "-fast"]
    assert {option.chunk.position for option in route.options} == {1}
    assert place.options == ()


def test_a_heading_that_begins_with_no_verb_and_says_nothing_is_not_a_task() -> None:
    assert tasks_of([chunk("Nothing.\n\n```tcl\nroute_all\n    [-steps count]\n```\n", 0, "Overview")]) == []
    assert tasks_of([chunk("Nothing.\n\n```tcl\nroute_all\n    [-steps count]\n```\n", 0, "Route")]) == []


def test_an_answer_names_the_command_shows_its_synopsis_and_quotes_the_options() -> None:
    task = tasks_of(manual())[0]
    answers = {ask_task(task, random.Random(seed)).answer for seed in range(60)}
    assert all(
        "`route_all`" in answer and "\n```tcl\nroute_all\n    [-guide_file file]\n" in answer for answer in answers
    )
    assert any(answer.endswith("\n```") for answer in answers)
    assert any("\n- `-guide_file` sets the file that the guides are written to." in answer for answer in answers)
    assert any("\n- `-steps`: the number of steps that are made at most." in answer for answer in answers)


def test_golden_are_the_chunks_that_the_answer_was_taken_from_and_no_others() -> None:
    task = tasks_of(manual())[0]
    for seed in range(30):
        draft = ask_task(task, random.Random(seed))
        assert {chunk.position for chunk in draft.golden} == ({0, 1} if "\n- " in draft.answer else {0})


def test_a_question_for_an_option_is_answered_by_a_call_that_has_it() -> None:
    task = tasks_of(manual())[0]
    drafts = [draft for seed in range(60) for draft in ask_options(task, random.Random(seed))]
    for draft in drafts:
        call = re.search(r"```tcl\n(.*?)\n```", draft.answer, re.DOTALL)
        assert call is not None
        explained = re.findall(r"^- `(-\w+)`", draft.answer, re.MULTILINE)
        assert sorted(re.findall(r"-\w+", call[1])) == sorted(explained)
    assert any("set the file that the guides are written to" in draft.question for draft in drafts)
    assert any("specify the number of steps" in draft.question for draft in drafts)


def test_steps_are_listed_in_the_order_of_the_question_and_called_in_it() -> None:
    tasks = tasks_of(manual())
    for seed in range(40):
        draft = ask_steps(tasks[0], tasks, random.Random(seed))
        assert draft is not None
        commands = re.findall(r"^\d\. To .*, use `(\w+)`\.$", draft.answer, re.MULTILINE)
        places = [draft.question.index(task.task) for name in commands for task in tasks if task.command == name]
        assert len(commands) >= 2
        assert places == sorted(places)
        assert re.findall(r"^(\w+)", draft.answer.split("```tcl\n")[1].split("\n```")[0], re.MULTILINE) == commands
        assert {chunk.position for chunk in draft.golden} == {
            task.chunk.position for task in tasks if task.command in commands
        }


def test_a_task_alone_in_its_project_has_no_steps() -> None:
    other = chunk(PLACE, 0, "Place All", collection="elsewhere")
    task = tasks_of([chunk(ROUTE, 0, "Route All")])[0]
    assert ask_steps(task, [task], random.Random(0)) is None
    alone = list(find_tasks([other], usages_of_documents([other])["elsewhere", "route.md"]))
    assert ask_steps(task, [task, *alone], random.Random(0)) is None


@for_each(
    ("synopsis", "names", "call"),
    [
        (("cmd",), [], "cmd"),
        (("cmd", "    [-a value]", "    -b value"), [], "cmd -b value"),
        (("cmd", "    [-a value]", "    -b value"), ["-a"], "cmd -b value -a value"),
        (("cmd", "    [-a value]", "    -b value"), ["-b"], "cmd -b value"),
        (("cmd [-a]",), ["-a"], "cmd -a"),
        (("cmd", "    [-a value] # what it is"), ["-a"], "cmd -a value"),
        (("cmd", "    [-a|-b]"), ["-a"], None),
        (("cmd", "    [-a value]"), ["-c"], None),
        (("cmd", "    (-a | -b)"), [], None),
        (("cmd", "    [ instances ]"), [], "cmd"),
        (("cmd [-region {x1 y1}] name",), ["-region"], "cmd name -region {x1 y1}"),
    ],
)
def test_a_call_has_what_is_required_and_the_options_that_are_asked_for(
    synopsis: tuple[str, ...], names: list[str], call: str | None
) -> None:
    assert example_call(synopsis, names) == call


def test_a_long_call_goes_on_in_the_next_line() -> None:
    synopsis = ("route_all_nets_of_the_design", *(f"    [-option_{letter} value_of_{letter}]" for letter in "abcd"))
    call = example_call(synopsis, ["-option_a", "-option_b", "-option_c", "-option_d"])
    assert call is not None
    first, *others = call.split("\n")
    assert first.split() == ["route_all_nets_of_the_design", "\\"]
    assert [line.split()[:2] for line in others] == [[f"-option_{letter}", f"value_of_{letter}"] for letter in "abcd"]
    assert [line.endswith(" \\") for line in others] == [True, True, True, False]


def test_the_same_seed_asks_the_same_and_another_one_asks_otherwise() -> None:
    assert drafts_of_tasks(manual(), 3) == drafts_of_tasks(manual(), 3)
    assert drafts_of_tasks(manual(), 3) != drafts_of_tasks(manual(), 4)
    questions = [draft.question.casefold() for draft in drafts_of_tasks(manual(), 3)]
    assert len(questions) == len(set(questions))


def test_answers_keep_to_their_length_and_none_is_asked_about_a_projects_people() -> None:
    assert all(3 < len(draft.answer.split()) <= MOST_WORDS for draft in drawn())
    assert drafts_of_tasks([chunk(ROUTE, 0, "Route All", path="CONTRIBUTING.md")]) == []
    assert drafts_of_tasks([chunk(ROUTE, 0, "Route All", path="route.tcl")]) == []


@given(
    st.lists(st.text(alphabet="ab -[]{}|#\n", max_size=30), max_size=5),
    st.lists(st.sampled_from(["-a", "-b", "-ab"]), max_size=2),
)
@settings(max_examples=200, deadline=None)
def test_a_call_of_any_synopsis_has_no_brackets_outside_of_an_options_value(lines: list[str], names: list[str]) -> None:
    call = example_call(["cmd", *lines], names)
    if call is not None:
        assert call.startswith("cmd")
        assert all(name in call.split() for name in names)
