"""How pictures look, the same for all of them: light and dark, and large enough to be read on a slide.

Colours of text, axes and grid are matplotlib's settings, which a theme sets; what draws asks for them by `ink()` and
`faint()`. Without pyplot, which would keep global state.

    paths = save_themes({"pareto.png": lambda: draw_pareto(trials)}, Path("pictures"))  # and pareto-dark.png
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matplotlib import rc_context, rcParams
from matplotlib.figure import Figure

from merge.errors import OutputRefused, printable

DPI = 130


def _theme(paper: str, text: str, grid: str) -> dict[str, object]:
    inks = ("text.color", "axes.labelcolor", "axes.titlecolor", "axes.edgecolor", "xtick.color", "ytick.color")
    return {
        "figure.facecolor": paper,
        "axes.facecolor": paper,
        "savefig.facecolor": paper,
        "legend.labelcolor": text,
        **dict.fromkeys(inks, text),
        "grid.color": grid,
        "font.size": 11.0,
        "axes.titlesize": 13.0,
    }


THEMES: Mapping[str, Mapping[str, object]] = {  # by the suffix of the file's stem
    "": _theme("#ffffff", "#222222", "#dddddd"),
    "-dark": _theme("#14181d", "#e6e6e6", "#39424c"),
}


def ink() -> str:
    """The colour of text and lines."""
    return str(rcParams["text.color"])


def faint() -> str:
    """The colour of what should stand back."""
    return str(rcParams["grid.color"])


def paper() -> str:
    """The colour behind all of it."""
    return str(rcParams["figure.facecolor"])


def plain(title: str) -> str:
    """A title that matplotlib draws as it is; between dollar signs it would read mathematics."""
    return printable(title).replace("$", r"\$")


def save_themes(pictures: Mapping[str, Callable[[], Figure]], folder: Path) -> list[Path]:
    """Write each picture light and dark into a folder, made if need be; returns the paths, the light ones first.

    Raises OutputRefused: a picture cannot be written.
    """
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for suffix, theme in THEMES.items():
            with rc_context(dict[Any, Any](theme)):
                for name, draw in pictures.items():
                    paths.append(folder / name.replace(".png", f"{suffix}.png"))
                    draw().savefig(paths[-1], dpi=DPI, metadata={"Software": None})
    except OSError as error:
        for path in paths[-1:]:
            path.unlink(missing_ok=True)  # half a picture
        reason = error.strerror or str(error)
        raise OutputRefused(f"pictures cannot be written to {folder}: {reason}. Choose another place") from error
    return paths
