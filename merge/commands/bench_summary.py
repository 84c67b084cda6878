"""What `chipalign merge bench` prints: what is asked of a merge beside what was measured, then all figures.

It measures nothing.

    text = summarise_bench(document)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RUNS = {
    "copy": "plain copies",
    "ours": "chipalign",
    "mergekit": "mergekit slerp",
    "mergekit_best": "mergekit slerp, best flags",
}
LEAST_TO_MERGEKIT, MOST_TO_COPIES, MOST_TO_GEODESIC = 8.0, 1.5, 3.0
PEAK_MB = 250


def compare_with_aims(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is asked: {what, measured, aim, reached}, a row each. What a short run leaves out has no row."""
    ratios, whole, methods = document["ratios"], document["whole"], document["methods"]
    rows = []
    if "mergekit_to_ours" in ratios:
        rows.append(
            _at_least("mergekit at its defaults beside ours, wall", ratios["mergekit_to_ours"], LEAST_TO_MERGEKIT)
        )
    rows.append(_at_most("ours beside plain copies of the same bytes, wall", ratios["ours_to_copy"], MOST_TO_COPIES))
    for method in ("ties", "della"):
        for kind in ("wall", "cpu"):
            what = f"{method} beside geodesic, whole merge of one large tensor, {kind}"
            rows.append(_at_most(what, whole[method][f"{kind}_to_geodesic"], MOST_TO_GEODESIC))
    counts = sorted(int(threads) for threads in methods if threads != "elements")
    if len(counts) > 1:
        one, every = (methods[str(count)]["geodesic"]["wall_ns"] for count in (counts[0], counts[-1]))
        rows.append(_at_least("one large tensor by one thread beside all threads, wall", round(one / every, 2), 1.0))
    largest = max((*document["sizes"], *document.get("large", [])), key=lambda size: int(size["parameters"]))
    what = f"peak memory at {largest['parameters'] / 1e9:.1f} B parameters, MB"
    return [*rows, _at_most(what, largest["peak_mb"], PEAK_MB)]


def _at_most(what: str, measured: float, limit: float) -> dict[str, Any]:
    return {"what": what, "measured": measured, "aim": f"at most {limit:g}", "reached": measured <= limit}


def _at_least(what: str, measured: float, limit: float) -> dict[str, Any]:
    return {"what": what, "measured": measured, "aim": f"at least {limit:g}", "reached": measured >= limit}


def summarise_bench(document: Mapping[str, Any]) -> str:
    """The figures as tables for people."""
    lines = [f"{'what is asked':70}{'measured':>10}  {'aim':14}reached"]
    for row in document["aims"]:
        lines.append(f"{row['what']:70}{row['measured']:10g}  {row['aim']:14}{'yes' if row['reached'] else 'no'}")
    lines += ["", f"{'':46}{'s':>8}{'wall s':>8}{'CPU s':>8}{'MB':>7}"]
    lines += [
        f"{label:46}{run.get('s', run.get('wall_s', 0)):8.2f}{run.get('wall_s', run.get('s', 0)):8.2f}"
        f"{run.get('cpu_s', 0):8.2f}{run.get('peak_mb', 0):7.0f}"
        for label, run in list_runs(document).items()
    ]
    lines += [f"{name}: {ratio}" for name, ratio in document["ratios"].items()]
    lines += [f"{name}: {value}" for name, value in document.items() if "twice" in name]
    lines += summarise_methods(document["methods"])
    lines += [f"estimated: {merge}" for merge in document["estimates"]["merges"]]
    return "\n".join([*lines, f"kills: {document['kills']}"]) + "\n"


def list_runs(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """All runs that were measured, by what they are called."""
    runs = {label: document[name] for name, label in RUNS.items() if name in document}
    runs |= {f"chipalign, {size['layers']} layers": size for size in document["sizes"]}
    runs |= {f"chipalign, {size['parameters'] / 1e9:.1f} B parameters": size for size in document.get("large", [])}
    runs |= {f"chipalign, threads: {count}": run for count, run in document["threads"].items()}
    return runs | {f"one large tensor, whole merge, {method}": run for method, run in document["whole"].items()}


def summarise_methods(document: Mapping[str, Any]) -> list[str]:
    """A line for each number of threads and method."""
    return [
        f"{method}, one tensor, threads: {threads}: {found['wall_to_geodesic']} times geodesic by wall, "
        f"{found['cpu_to_geodesic']} by CPU ({found['cpu_ns']} ns of CPU an element)"
        for threads, methods in document.items()
        if threads != "elements"
        for method, found in methods.items()
    ]
