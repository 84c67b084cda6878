"""rag.design.latex: commands become their words, and environments their kinds of blocks."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from rag.design.latex import clean, parse_latex
from tests.rows import for_each


@for_each(
    ("source", "text"),
    [
        (r"a \texttt{x \emph{y}} b", "a `x y` b"),
        (r"100\% of \$x\_y\$ \& more", "100% of $x_y$ & more"),
        (r"\textbf{bold \textit{both}}", "bold both"),
        (r"see~\ref{a}, \cite[p.~3]{b}.", "see , ."),
        (r"\verb|\emph{%}| and ``quoted''", r"`\emph{%}` and " + '"quoted"'),
        (r"0.5\,$\mu$m at 25\textdegree C", "0.5 µm at 25°C"),
        (r"\href{http://x.org}{words} \url{y.org}", "words y.org"),
        (r"\unknown{kept} \alone word", "kept word"),
        (r"two steps\footnote{Since 4.1.}, then", "two steps (Since 4.1.), then"),
        (r"\(w > 2\lambda\) of \ensuremath{\Omega}", "w > 2λ of Ω"),
        (r"costs $\rho \frac{l}{w}$ a wire", r"costs $\rho \frac{l}{w}$ a wire"),
        (r"\SI{0.5}{\micro\metre}, \qty{25}{\celsius}, \num{3}", "0.5 µm, 25 °C, 3"),
    ],
)
def test_running_text_is_shown_without_commands(source: str, text: str) -> None:
    assert clean(source) == text


def test_comments_are_left_out_but_not_percent_signs() -> None:
    text = "a % gone\n5\\% stays\n\n\\begin{verbatim}\n% code\n\\end{verbatim}\nb % gone\n"
    assert [block.text for block in parse_latex(text).blocks] == ["a\n5% stays", "```\n% code\n```", "b"]


def test_a_list_keeps_its_items_and_terms() -> None:
    text = r"\begin{description}\item[a] one" + "\n two\n\n more \\item[b] three\\end{description} After."
    assert [(block.kind, block.text) for block in parse_latex(text).blocks] == [
        ("list", "- a: one two more\n- b: three"),
        ("prose", "After."),
    ]


@for_each("unit", [r"\section{", r"\begin{verbatim}", r"\item ", "{", r"\verb|", "\\\\", "%", r"\a{"])
def test_many_openings_that_nothing_closes_are_read_in_time(unit: str) -> None:
    started = time.perf_counter()
    parse_latex(unit * (200_000 // len(unit)))
    assert time.perf_counter() - started < 5


@given(st.text(alphabet="ab{}\\[]&%$\n begindsctoitm", max_size=200))
def test_no_text_breaks_it(text: str) -> None:
    parse_latex(text)
