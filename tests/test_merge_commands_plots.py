"""The pictures: that they are written, say what is in them, and stand every kind of pair.

How they look was judged by eye.
"""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.lines import Line2D
from rich.console import Console

from merge.commands.heatmap import draw_heatmap, gather_cells
from merge.commands.plots import (
    BLOCKS,
    MARKS,
    PICTURES,
    draw_all,
    draw_drift,
    draw_norms,
    draw_plan,
    draw_terminal,
    draw_theta,
    spark,
)
from merge.commands.survey import Profile
from merge.models.layers import KINDS

PROFILES = [
    Profile("model.embed_tokens.weight", "embeddings", None, 64, 8.0, 7.0, 0.3, 0.6),
    *(
        Profile(f"model.layers.{n}.self_attn.q_proj.weight", "attention", n, 16, 4.0, 4.0 + n / 10, 0.01 * (n + 1), 0.6)
        for n in range(6)
    ),
    *(Profile(f"model.layers.{n}.mlp.up_proj.weight", "MLP", n, 16, 5.0, 4.0, 0.02 * (n + 1), 0.6) for n in range(6)),
    Profile("model.norm.weight", "norms", None, 4, 2.0, 2.0, 0.0, 0.6),
]


def printed(what: object) -> str:
    stream = io.StringIO()
    Console(file=stream, width=100).print(what)
    return stream.getvalue()


def printed_wide(what: object) -> str:
    stream = io.StringIO()
    Console(file=stream, width=200).print(what)
    return stream.getvalue()


def test_png_files_are_written_light_and_dark_and_the_same_each_time(tmp_path: Path) -> None:
    paths = draw_all(PROFILES, tmp_path / "deep" / "pictures", "title")
    assert [path.name for path in paths] == [*PICTURES, *(name.replace(".png", "-dark.png") for name in PICTURES)]
    for path, again in zip(paths, draw_all(PROFILES, tmp_path / "again", "title"), strict=True):
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.read_bytes() == again.read_bytes()


def test_axes_are_labelled_with_units() -> None:
    figures = [draw(PROFILES, "the title") for draw in (draw_theta, draw_norms, draw_drift)]
    labels = [axes.get_ylabel() for figure in figures for axes in figure.axes]
    assert labels == [
        "theta (degrees)",
        "root mean square of the elements",
        "chip norm above chat norm (%)",
        "|geodesic - linear| / |linear| (%)",
    ]
    for figure in figures:
        assert figure.get_suptitle() == "the title"
        assert figure.axes[-1].get_xlabel() == "layer (mark: one tensor; line: median of the layer)"
        legend = figure.axes[0].get_legend()
        assert legend is not None
        assert [text.get_text().partition(":")[0] for text in legend.get_texts()][:4] == [
            "attention",
            "MLP",
            "embeddings",
            "norms",
        ]


def test_kinds_that_do_not_differ_say_so() -> None:
    legend = draw_drift(PROFILES, "").axes[0].get_legend()
    assert legend is not None
    assert "norms: no difference" in [text.get_text() for text in legend.get_texts()]


def test_embedding_and_head_stand_apart_from_the_layers() -> None:
    head = Profile("lm_head.weight", "embeddings", None, 64, 8.0, 7.0, 0.3, 0.6)
    (axes,) = draw_theta([*PROFILES, head], "").axes
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert (labels[0], *labels[-2:]) == ("embed", "norm", "head")
    assert axes.get_xticks()[0] < 0 <= axes.get_xticks()[1]
    (axes,) = draw_theta(PROFILES, "").axes  # tied: there is no head
    assert [label.get_text() for label in axes.get_xticklabels()][-2:] == ["5", "norm"]


@pytest.mark.parametrize(
    "profiles",
    [
        [],
        [Profile("score.weight", "other", None, 4, 0.0, 1.0, None, 0.6)],
        [Profile("model.layers.0.mlp.up_proj.weight", "MLP", 0, 4, 1.0, 1.0, 0.0, 0.6)],
        [Profile("model.layers.0.mlp.up_proj.weight", "MLP", 0, 4, 1.0, 1.0, math.pi, 0.6)],
        [Profile("model.none", "other", None, 0, 0.0, 0.0, None, 0.6)],
    ],
)
def test_pairs_without_anything_to_see_are_drawn_too(profiles: list[Profile], tmp_path: Path) -> None:
    assert len(draw_all(profiles, tmp_path, "")) == 2 * len(PICTURES)
    printed(draw_terminal(profiles, ""))


def test_the_terminal_shows_a_table_and_a_line_of_blocks_per_kind() -> None:
    text = printed(draw_terminal(PROFILES, "the title"))
    assert "the title" in text
    assert "17.189°" in text  # 0.3 radians
    assert "0.870..1.000" not in text
    assert "1.250..1.250" in text
    assert "0.57° to 3.44°" in text
    assert max(map(len, printed_wide(draw_terminal(PROFILES, "the title")).splitlines())) <= 82
    assert BLOCKS[-1] in text


def test_blocks_run_from_zero_to_the_largest_and_long_rows_are_thinned_out() -> None:
    assert spark([0.0, 0.5, 1.0]) == BLOCKS[0] + BLOCKS[4] + BLOCKS[-1]
    assert spark([0.0, 0.0]) == BLOCKS[0] * 2
    assert len(spark([float(n) for n in range(126)])) == 40
    assert spark([]) == ""


def test_the_plan_is_a_table_with_its_totals() -> None:
    row = {
        "kind": "MLP",
        "method": "geodesic",
        "tensors": 6,
        "parameters": 1234,
        "lam": [0.2, 0.79130],
        "dtype": "BF16",
        "bytes": 2_500_000,
    }
    rows = {"rows": 13, "merged": 8, "chip_only": 2, "chat_only": 3}
    text = printed(
        draw_plan({"name": "x", "plan": [row], "read_bytes": 5_000_000, "write_bytes": 2_500_000, "vocabulary": rows})
    )
    for part in (
        "1,234",
        "0.2 to 0.791",
        "to read: 5.0 MB per pass; to write: 2.5 MB",
        "13 rows, 8 merged, 2 the chip parent's alone, 3 the chat",
    ):
        assert part in text


def test_every_kind_has_a_mark_that_is_seen() -> None:
    kinds = [Profile(f"x.layers.{n}.y", kind, n, 9, 1.0, 1.0, 0.1, 0.6) for n, kind in enumerate(KINDS)]
    (axes,) = draw_theta(kinds, "").axes
    marks = [line for line in axes.lines if line.get_marker() not in ("None", None, "")]
    assert {line.get_marker() for line in marks} == set(MARKS.values())
    assert all(line.get_marker() in Line2D.filled_markers for line in marks)


def test_the_heat_map_has_a_cell_for_each_layer_and_projection() -> None:
    tower = [Profile(f"vision.layers.{n}.attn.qkv.weight", "attention", n, 9, 1.0, 1.0, 0.1, 0.6) for n in range(3)]
    experts = [
        Profile(f"model.layers.0.mlp.experts.{n}.up_proj.weight", "MLP", 0, 9, 1.0, 1.0, math.radians(n), 0.6)
        for n in range(1, 4)
    ]
    stacks, outside = gather_cells([*PROFILES, *tower, *experts])
    assert {stack: set(rows) for stack, rows in stacks.items()} == {
        "model.layers": {"self_attn.q_proj", "mlp.up_proj", "mlp.experts.*.up_proj"},
        "vision.layers": {"attn.qkv"},
    }
    assert stacks["model.layers"]["mlp.experts.*.up_proj"][0] == pytest.approx([1, 2, 3])
    assert set(outside) == {"model.embed_tokens", "model.norm"}
    figure = draw_heatmap([*PROFILES, *tower, *experts], "the title")
    assert [axes.get_title(loc="left") for axes in figure.axes[:3]] == [
        "model.layers",
        "vision.layers",
        "outside the layers",
    ]
    assert [label.get_text() for label in figure.axes[1].get_yticklabels()] == ["attn.qkv"]
    assert figure.axes[0].get_xlabel() == "layer"
    assert figure.axes[-1].get_ylabel() == "angle between the parents, theta (degrees)"
    cells = figure.axes[0].images[0].get_array()
    assert cells is not None
    assert cells.shape == (3, 6)
    assert float(cells[2, 0]) == pytest.approx(2.0)


def test_each_stack_of_layers_has_places_of_its_own() -> None:
    tower = [Profile(f"visual.blocks.{n}.attn.qkv.weight", "attention", n, 9, 1.0, 1.0, 1.0, 0.6) for n in range(3)]
    (axes,) = draw_theta([*PROFILES, *tower], "").axes
    ticks = [(place, label.get_text()) for place, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)]
    assert [label for place, label in ticks if place in (0, 5, 7, 9)] == ["0", "5", "0", "2"]
    assert {text.get_text() for text in axes.texts} == {"model.layers", "visual.blocks"}
    line = next(line for line in axes.lines if line.get_linewidth() == 1.8 and np.size(line.get_xdata()) > 8)
    places, values = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
    assert np.isnan(values[(places > 5) & (places < 7)]).all()  # the two are not joined
    assert np.allclose(values[places >= 7][:3], math.degrees(1.0))
    (alone,) = draw_theta(PROFILES, "").axes
    assert len(alone.texts) == 0
