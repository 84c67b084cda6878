"""The picture of a training is a PNG that is there, whatever the number of steps and looks."""

from __future__ import annotations

from pathlib import Path

from rag.training.loss_curve import draw_loss_curve
from tests.rows import for_each


@for_each(
    ("losses", "looks", "best_step"),
    [
        ([], [], None),
        ([3.0], [(1, 3.5)], 1),
        ([3.0, 2.0, 1.5], [(1, 3.0), (3, 2.0)], 3),
        ([2.0, float("nan")], [], None),
    ],
)
def test_any_training_gives_a_picture(
    tmp_path: Path, losses: list[float], looks: list[tuple[int, float]], best_step: int | None
) -> None:
    path = tmp_path / "curve.png"
    draw_loss_curve(path, losses, looks, held_out="held out", ylabel="loss", title="größe", best_step=best_step)
    raw = path.read_bytes()
    assert raw.startswith(b"\x89PNG")
    assert (int.from_bytes(raw[16:20], "big"), int.from_bytes(raw[20:24], "big")) == (840, 480)


def test_a_line_at_the_best_step_and_other_losses_make_another_picture(tmp_path: Path) -> None:
    pictures = []
    for losses, best in (([3.0, 2.0], None), ([3.0, 2.0], 2), ([3.0, 1.0], None), ([3.0, 2.0], None)):
        draw_loss_curve(
            tmp_path / "c.png", losses, [(1, 3.0), (2, 2.5)], held_out="h", ylabel="loss", title="t", best_step=best
        )
        pictures.append((tmp_path / "c.png").read_bytes())
    assert pictures[0] == pictures[3]
    assert len(set(pictures)) == 3
