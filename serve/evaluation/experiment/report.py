"""The report of an experiment: one document of all figures from the result files, and the same as Markdown.

It measures and draws nothing. A report can be made at any time; it says what is not measured yet or could not be.

    report = build_report(plan, folder, failures, made_by={"command": "chipalign eval table ...", **machine()})
    (folder / "table.md").write_text(render_markdown(report))
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from serve.evaluation.experiment.plan import (
    CHAT,
    CHIP,
    GEODESIC,
    LINEAR,
    PARENTS,
    Cell,
    Plan,
    Row,
    answers_file,
    model_file,
    result_file,
)
from serve.evaluation.experiment.run import Failures, read_json
from serve.evaluation.experiment.scores import (
    ALL,
    Values,
    count_differing,
    estimate_difference,
    estimate_groups,
    estimate_way_back,
    read_answers,
    read_values,
)

WAY_BACK = ("prompt_strict", "instruction_strict")
# The measures that the tables show of each evaluation; the JSON document has every measure.
SHOWN: Mapping[str, Mapping[str, str]] = {
    "qa": {"rouge_l": "ROUGE-L", "right_command": "right command", "unknown_command": "unknown command"},
    "ifeval": {"prompt_strict": "IFEval, prompts", "instruction_strict": "IFEval, instructions"},
    "mcq": {"acc": "multiple choice"},
}
BY_KIND = {"qa": "rouge_l", "mcq": "acc"}  # the measure shown for each kind of question
Scores = dict[tuple[str, str], dict[str, Values]]  # (row, cell): values of each measure


def title_of(cell: Cell | Mapping[str, Any], measure: str) -> str:
    """A measure's name for people: "ROUGE-L, golden"."""
    name, evaluation = (cell.name, cell.evaluation) if isinstance(cell, Cell) else (cell["name"], cell["evaluation"])
    title = SHOWN[evaluation].get(measure, measure)
    return f"{title}, {name.removeprefix('qa_')}" if evaluation == "qa" else title


def build_report(plan: Plan, folder: Path, failures: Failures, made_by: Mapping[str, Any]) -> dict[str, Any]:
    """Every figure of the experiment so far, as plain values for JSON.

    made_by: command and machine, as the report shows them.
    """
    scores = {
        (row.name, cell.name): read_values(cell.evaluation, read_json(result_file(folder, row, cell)))
        for row in plan.rows
        for cell in plan.cells
        if result_file(folder, row, cell).is_file()
    }
    return {
        **made_by,
        "plan": plan.describe(),
        "finished": len(scores) == len(plan.rows) * len(plan.cells),
        "theta_degrees": _find_theta(plan, folder),
        "rows": {
            row.name: {cell.name: _describe_cell(row, cell, scores, failures) for cell in plan.cells}
            for row in plan.rows
        },
        "differences": list(_compare_all(plan, scores)),
        "way_back": list(_find_ways_back(plan, scores)),
        "answers": list(_compare_answers(plan, folder)),
    }


def _describe_cell(row: Row, cell: Cell, scores: Scores, failures: Failures) -> dict[str, Any]:
    """The state of a cell with its figures, overall and by kind of question."""
    key = (row.name, cell.name)
    if key in scores:
        return {
            "state": "done",
            "measures": {measure: estimate_groups(values) for measure, values in scores[key].items()},
        }
    return {"state": "failed", "reason": failures[key]} if key in failures else {"state": "open"}


def find_pairs(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """The rows to compare: each merge with both parents, the parents, and geodesic with linear at the same lam."""
    parents = {row.name: row for row in rows if row.name in PARENTS}
    pairs = [(parents[CHIP], parents[CHAT])] if len(parents) == len(PARENTS) else []
    merges = [row for row in rows if row.name not in PARENTS]
    pairs += [(row, parent) for row in merges for parent in parents.values()]
    return pairs + find_twins(rows)


def find_twins(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Geodesic and linear merges at the same lam."""
    merges = [row for row in rows if row.name not in PARENTS]
    return [
        (one, other)
        for one in merges
        for other in merges
        if (one.method, other.method) == (GEODESIC, LINEAR) and one.lam == other.lam
    ]


def _compare_all(plan: Plan, scores: Scores) -> Iterator[dict[str, Any]]:
    for row, other in find_pairs(plan.rows):
        for cell in plan.cells:
            ours, theirs = scores.get((row.name, cell.name), {}), scores.get((other.name, cell.name), {})
            for measure in ours.keys() & theirs.keys():
                if difference := estimate_difference(ours[measure], theirs[measure]):
                    yield {"row": row.name, "against": other.name, "cell": cell.name, "measure": measure, **difference}


def _find_ways_back(plan: Plan, scores: Scores) -> Iterator[dict[str, Any]]:
    for row in plan.rows:
        for cell in plan.cells:
            three = [scores.get((name, cell.name)) for name in (row.name, CHIP, CHAT)]
            if row.name in PARENTS or cell.evaluation != "ifeval" or not all(three):
                continue
            merged, chip, chat = (values or {} for values in three)
            for measure in WAY_BACK:
                if share := estimate_way_back(merged[measure], chip[measure], chat[measure]):
                    yield {"row": row.name, "cell": cell.name, "measure": measure, **share}


def _compare_answers(plan: Plan, folder: Path) -> Iterator[dict[str, Any]]:
    """How many answers of geodesic and linear merges at the same lam differ, in cells that both have finished."""
    for row, other in find_twins(plan.rows):
        for cell in plan.cells:
            if all(result_file(folder, each, cell).is_file() for each in (row, other)):
                ours, theirs = (
                    read_answers(cell.evaluation, answers_file(folder, each, cell)) for each in (row, other)
                )
                yield {"row": row.name, "against": other.name, "cell": cell.name, **count_differing(ours, theirs)}


def _find_theta(plan: Plan, folder: Path) -> dict[str, float] | None:
    """The angle between the parents per tensor in degrees, which every merge of them reports: median and largest."""
    for row in plan.rows:
        if row.name not in PARENTS and model_file(folder, row).is_file():
            theta: dict[str, float] | None = read_json(model_file(folder, row))["merge"].get("theta_degrees")
            return theta
    return None


def render_markdown(report: Mapping[str, Any]) -> str:
    """The report for people, as Markdown tables. A star marks a difference whose interval excludes zero."""
    sections = [
        _render_head(report),
        _render_scores(report),
        _render_kinds(report),
        _render_differences(report),
        _render_way_back(report),
        _render_answers(report),
        _render_missing(report),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _render_head(report: Mapping[str, Any]) -> str:
    plan, theta = report["plan"], report["theta_degrees"]
    lines = [f"# {plan['experiment'].capitalize()}: {describe_pair(report)}", ""]
    asked = ", ".join(f"{cell['asked']} questions of {name}" for name, cell in plan["cells"].items())
    angles = (
        f" The angle between the parents is {theta['median']:.2f} degrees per tensor in the median, {theta['max']:.2f} "
        "at most."
        if theta
        else ""
    )
    lines.append(f"{asked}. Means with 95 % bootstrap intervals over the questions.{angles}")
    lines += [] if report["finished"] else ["", "Not finished: the same command goes on."]
    made_by = ", ".join(
        f"{name} {report[name]}" for name in ("date", "commit", "cpu", "cores", "engine") if report.get(name)
    )
    return "\n".join([*lines, "", f"`{report['command']}`; {made_by}"])


def describe_pair(report: Mapping[str, Any]) -> str:
    """Both parents in short."""
    return f"{_describe_parent(report['plan'], CHIP)} into {_describe_parent(report['plan'], CHAT)}"


def _describe_parent(plan: Mapping[str, Any], side: str) -> str:
    parent = plan["parents"][side]
    return " + ".join(parent[key].rstrip("/").rpartition("/")[2] for key in ("model", "adapter") if key in parent)


def shown_columns(report: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The columns of the tables: cell, measure and title."""
    cells = report["plan"]["cells"].values()
    return [(cell["name"], measure, title_of(cell, measure)) for cell in cells for measure in SHOWN[cell["evaluation"]]]


def _render_scores(report: Mapping[str, Any]) -> str:
    columns = shown_columns(report)
    rows = []
    for name, cells in report["rows"].items():
        row = report["plan"]["rows"][name]
        figures = [_cell(cells[cell], measure, ALL) for cell, measure, _ in columns]
        rows.append([name, f"{row['lam']:g}", *figures])
    return _table(["model", "lam", *(title for _, _, title in columns)], rows)


def _cell(cell: Mapping[str, Any], measure: str, group: str) -> str:
    """A figure with its interval; "-" if it applies to no question, its state if it is not measured."""
    if cell["state"] != "done":
        return str(cell["state"])
    estimates = cell["measures"].get(measure, {})
    return _interval(estimates[group]) if group in estimates else "-"


def _interval(estimate: Mapping[str, float], sign: str = "") -> str:
    return f"{estimate['mean']:{sign}.3f} [{estimate['low']:{sign}.3f}, {estimate['high']:{sign}.3f}]"


def _render_kinds(report: Mapping[str, Any]) -> str:
    """One table per evaluation with kinds of questions."""
    tables = []
    for name, cell in report["plan"]["cells"].items():
        measure = BY_KIND.get(cell["evaluation"])
        done = [
            cells[name]["measures"][measure]
            for cells in report["rows"].values()
            if measure and cells[name]["state"] == "done"
        ]
        kinds = {kind: estimates[kind]["questions"] for estimates in done for kind in estimates if kind != ALL}
        if measure and kinds:
            rows = [
                [row, *(_cell(cells[name], measure, kind) for kind in kinds)] for row, cells in report["rows"].items()
            ]
            titles = [f"{kind} ({count:g})" for kind, count in kinds.items()]
            tables.append(f"## {title_of(cell, measure)}, by kind of question\n\n{_table(['model', *titles], rows)}")
    return "\n\n".join(tables)


def _render_differences(report: Mapping[str, Any]) -> str:
    columns = shown_columns(report)
    found = {(item["row"], item["against"], item["cell"], item["measure"]): item for item in report["differences"]}
    rows = []
    for row, against in dict.fromkeys((item["row"], item["against"]) for item in report["differences"]):
        figures = [found.get((row, against, cell, measure)) for cell, measure, _ in columns]
        rows.append(
            [f"{row} - {against}", *(f"{_interval(item, '+')}{_star(item)}" if item else "-" for item in figures)]
        )
    text = (
        "Question by question paired; * where the 95 % interval leaves out zero, which chance alone does in one of "
        "twenty."
    )
    return (
        f"## Differences\n\n{text}\n\n{_table(['models', *(title for _, _, title in columns)], rows)}" if rows else ""
    )


def _star(estimate: Mapping[str, float]) -> str:
    return " *" if estimate["low"] > 0 or estimate["high"] < 0 else ""


def _render_way_back(report: Mapping[str, Any]) -> str:
    cells, done = report["plan"]["cells"], report["rows"]
    measured = [name for name, cell in cells.items() if cell["evaluation"] == "ifeval" and {CHAT, CHIP} <= done.keys()]
    if not any(done[CHAT][name]["state"] == done[CHIP][name]["state"] == "done" for name in measured):
        return ""
    if not report["way_back"]:
        return "IFEval back: not reported, since the chat model is not clearly better than the chip model."
    rows = [
        [item["row"], title_of(cells[item["cell"]], item["measure"]), _interval(item)] for item in report["way_back"]
    ]
    text = "(merge - chip) / (chat - chip): 0 is the chip model, 1 the chat model."
    return f"## IFEval back\n\n{text}\n\n{_table(['model', 'of', 'share'], rows)}"


def _render_answers(report: Mapping[str, Any]) -> str:
    rows = [
        [f"{item['row']}, {item['against']}", item["cell"], f"{item['differ']} of {item['questions']}"]
        for item in report["answers"]
    ]
    return f"## Answers that differ\n\n{_table(['models', 'evaluation', 'answers'], rows)}" if rows else ""


def _render_missing(report: Mapping[str, Any]) -> str:
    lines = [
        f"- {row}, {name} failed: {cell['reason']}"
        for row, cells in report["rows"].items()
        for name, cell in cells.items()
        if cell["state"] == "failed"
    ]
    lines += [f"- left out: {reason}" for reason in report["plan"]["left_out"]]
    return "\n".join(["## Not measured", "", *lines]) if lines else ""


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(text.replace('|', chr(92) + '|') for text in line)} |" for line in lines)
