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


@for_each(
    ("source", "text"),
    [
        (r"M\"uller, M\"{u}ller, na\"ive", "Müller, Müller, naïve"),
        (r"stra\ss e and Stra\ss{} e", "straße and Straß e"),
        (r"caf\'e, cr\`eme, for\^et, ma\~nana, \c{c}a, \v{S}koda", "café, crème, forêt, mañana, ça, Škoda"),
        (r"width \textless{} 5 \textbar\ 6 \textgreater 4", "width < 5 | 6 >4"),
        (r"\LaTeX{} and \TeX", "LaTeX and TeX"),
        (r"a 5\,\euro{} part \copyright{} us", "a 5 € part © us"),
        (r"read\slash write \o{opt}", "read/write opt"),  # a manual's own macro of one letter
        (r"\v{x} and \c{q}", "x and q"),  # no such letters: macros for a vector and for code
        (r"\verb|\'e| of $\hat{S}_\ss$", r"`\'e` of $\hat{S}_\ss$"),
        ("a\\\\'b'", "a\n'b'"),
    ],
)
def test_letters_that_latex_spells_are_letters(source: str, text: str) -> None:
    assert clean(source) == text


@for_each(
    ("source", "kinds"),
    [
        ("", []),
        ("% only a remark\n", []),
        (r"\section{Rules}", ["list"]),
        ("One.\n\n\n\nTwo.", ["prose", "prose"]),
        (r"\begin{verbatim}" + "\n\n" + r"\end{verbatim}", []),
        (r"\begin{lstlisting}[language=Tcl]" + "\nset x 1\n" + r"\end{lstlisting}", ["code"]),
        (r"\begin{tikzpicture}\draw (0,0);\end{tikzpicture} After.", ["prose"]),
        (r"\[ a = b \]", ["code"]),
        (r"$$ a = b", ["code"]),
        (r"\begin{tabular}{ll} a & b \\ 1 & 2 \end{tabular}", ["table"]),
        (r"\begin{itemize}\end{itemize}", []),
    ],
)
def test_each_environment_has_its_kind_of_block(source: str, kinds: list[str]) -> None:
    assert [block.kind for block in parse_latex(source).blocks] == kinds


def test_headings_stand_over_their_text_and_the_title_over_all() -> None:
    text = (
        r"\documentclass{article}\title{The \emph{Router}}\begin{document}Intro." + "\n"
        r"\section{Use}\subsection*{Calls}Call it.\section[short]{Rules}Rule." + "\n"
        r"\end{document} Behind the end."
    )
    parsed = parse_latex(text)
    assert parsed.title == "The Router"
    assert [(block.heading_path, block.text) for block in parsed.blocks] == [
        ((), "Intro."),
        (("Use", "Calls"), "Call it."),
        (("Rules",), "Rule."),
    ]


def test_a_table_keeps_cells_that_are_escaped_spanned_and_broken_over_lines() -> None:
    rows = r"\hline Layer & \textbf{Width} \\ \hline M1 & 0.14\,$\mu$m \\[2pt] R\&D & a" + "\nb" + r"\\"
    [block] = parse_latex(rf"\begin{{tabular}}{{|l|p{{2cm}}|}} {rows} \end{{tabular}}").blocks
    assert block.text.splitlines() == [
        "| Layer | Width |",
        "| --- | --- |",
        "| M1 | 0.14 µm |",
        "| R&D | a b |",
    ]
    spanned = r"\begin{tabular}{ll}\multicolumn{2}{c}{Both} \\ a & b \end{tabular}"
    assert parse_latex(spanned).blocks[0].text.splitlines()[0] == "| Both |  |"


def test_lists_in_lists_are_numbered_and_indented() -> None:
    inner = r"\begin{itemize}\item x \item y\end{itemize}"
    text = rf"\begin{{enumerate}}\item One {inner} \item Two \end{{enumerate}}"
    assert [block.text for block in parse_latex(text).blocks] == ["1. One\n  - x\n  - y\n2. Two"]


@for_each(
    ("define", "text"),
    [
        (r"\newcommand{\tool}{Router}", "The Router routes."),
        (r"\newcommand\tool{Router}", "The Router routes."),
        (r"\renewcommand*{\tool}{Router}", "The Router routes."),
        (r"\def\tool{Router}", "The Router routes."),
        (r"\def\tool{A}\def\tool{Router}", "The Router routes."),
        (r"\newcommand{\tool}[1]{Router #1}", "The routes."),  # one with arguments stays a command
    ],
)
def test_a_documents_own_macro_without_arguments_is_put_in(define: str, text: str) -> None:
    assert [" ".join(block.text.split()) for block in parse_latex(f"{define}\nThe \\tool{{}} routes.").blocks] == [text]


def test_in_verbatim_text_no_macro_is_put_in_and_no_language_is_lost() -> None:
    text = "\\newcommand{\\x}{GONE}\n\\begin{minted}{tcl}\n  set \\x 5% not a remark\n\\end{minted}\n"
    assert [block.text for block in parse_latex(text).blocks] == ["```tcl\nset \\x 5% not a remark\n```"]


@for_each(
    ("body", "table"),
    [
        (r"a & b \\ \hline 1 & 2 \tabularnewline 3 & 4", "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |"),
        (
            r"A & \multicolumn{2}{c}{W} \\ & min & max \\ \midrule M1 & 1 & 2 \\",
            "| A | W min | W max |\n| --- | --- | --- |\n| M1 | 1 | 2 |",
        ),
        (
            r"a & b & c \\ \multicolumn{2}{l}{x} & y \\",
            "| a | b | c |\n| --- | --- | --- |\n| x |  | y |",
        ),
        (
            r"a & b \\ \multirow{2}{*}{M1} & 1 \\ & 2 \\ & 3 \\",
            "| a | b |\n| --- | --- |\n| M1 | 1 |\n| M1 | 2 |\n|  | 3 |",
        ),
    ],
)
def test_cells_of_a_table_stand_under_their_heads(body: str, table: str) -> None:
    (block,) = parse_latex(rf"\begin{{tabular}}{{lll}} {body} \end{{tabular}}").blocks
    assert block.text == table


def test_a_long_table_has_its_caption_above_and_its_head_once() -> None:
    text = r"""\begin{longtable}{ll}
    \caption[Short]{Codes of \texttt{lint}}\\ \hline Code & Meaning \\ \endfirsthead
    Code & Meaning \\ \endhead \multicolumn{2}{r}{continued} \\ \endfoot \endlastfoot
    E-1 & Open net \\ \end{longtable}"""
    shown = [(block.kind, block.text) for block in parse_latex(text).blocks]
    assert shown == [
        ("prose", "Codes of `lint`"),
        ("table", "| Code | Meaning |\n| --- | --- |\n| E-1 | Open net |"),
    ]


def test_a_listing_has_its_caption_and_its_language() -> None:
    text = "\\begin{lstlisting}[language=tcl, caption={Run it, twice}]\nset x 1\n\\end{lstlisting}"
    shown = [(block.kind, block.text) for block in parse_latex(text).blocks]
    assert shown == [("prose", "Run it, twice"), ("code", "```tcl\nset x 1\n```")]
