"""The attack on what people are shown: answers, titles and names made to fetch a picture, to lead elsewhere, to steer a
terminal.

Answers are put together at random from what Markdown's dialects read as markup, and read back by an independent parser;
a dozen worked-out ones are shown to a real browser, beside a server that nobody may ask.
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from playwright.sync_api import Browser, expect

from tests.attack import Attack
from tests.fake_gateway import HITS, FakeGateway, Script
from tests.quiet_server import QuietServer
from tests.test_ui_page import page_served_at
from ui.conversation import Turn
from ui.escaping import literal
from ui.events import read_source
from ui.page.rendering import answer_markdown, passage_blocks
from ui.slack.mrkdwn import to_sections
from ui.slack.slack_blocks import answer_messages

SOURCES = tuple(read_source(hit) for hit in HITS)
OWN = {source.link for source in SOURCES if source.link}
PICTURE = "![x](http://evil.example/p.png)"
FRAGMENTS = [
    *(
        PICTURE,
        "![",
        "](",
        "[a](http://evil.example/l)",
        "[a]: http://evil.example/r\n",
        "![a]",
        "[a]",
        "[a][a]",
        "[1]",
        "[2](",
        "!",
        "[",
        "]",
    ),
    *(
        "<http://evil.example/a>",
        "http://evil.example/u",
        "www.evil.example",
        "HTTP://e.example",
        "a@evil.example",
        "http:",
        "//evil.example",
    ),
    *(
        "`",
        "``",
        "```",
        "````",
        "~~~",
        "~~",
        "\n```\n",
        "\n~~~\n",
        "```x\n",
        "``` a`b\n",
        "```mermaid\n",
        "$",
        "$$",
        "\n$$\n",
        "\\",
        "\\`",
        "\\[",
    ),
    *(
        " ",
        "  \n",
        "\n",
        "\n\n",
        "    ",
        "\t",
        "- ",
        "* ",
        "+ ",
        "1. ",
        "999999999. ",
        "> ",
        "# ",
        "\n===\n",
        "\n---\n",
        "***",
        "**",
        "*",
        "_",
        "__",
    ),
    *(
        "|",
        "| ",
        "\n|---|---|\n",
        "|---|\n",
        "|:-:|\n",
        "\\|",
        "&#124;",
        "&#10;",
        "&#32;",
        "&lt;",
        "&#96;",
        "&#33;",
        "&#91;",
        "&amp;#33;",
        "&nbsp;",
    ),
    *(
        "<a ",
        ">",
        "<!--",
        "-->",
        '<img src="http://evil.example/h">',
        "<script>",
        "</script>",
        "<b>",
        "[^1]",
        "[^1]: x\n",
        "- [ ] ",
    ),
    *(
        ":red[",
        ":material/home:",
        ":smile:",
        ":streamlit:",
        "::x[",
        ":::x\n",
        "{a=b}",
        ":",
        "a",
        "b c",
        "'",
        '"',
        "(",
        ")",
        "\u00a0",
        "\u202e",
    ),
]
_FOUND_BY_GFM = re.compile(  # a domain has a dot, and a letter at its end
    r"(?:https?://|www\.)[-.\w]+|[-.+\w]+@[-.a-z0-9]*\.[-a-z0-9]*[a-z](?!\.?[a-z0-9])", re.IGNORECASE
)
_DRAWN_BY_STREAMLIT = re.compile(r":material_\w+:|:streamlit:|:smile:|(?<!\S)(?:<->|->|<-|--|>=|<=|~=)(?!\S)")
READERS = [
    MarkdownIt("commonmark").enable(["table", "strikethrough"]),
    MarkdownIt("commonmark", {"html": False}),
    MarkdownIt("js-default", {"html": True}),
]


def random_answer(chance: random.Random) -> str:
    """Up to two dozen fragments in a row, one of them a picture."""
    fragments = [chance.choice(FRAGMENTS) for _ in range(chance.randint(1, 24))]
    fragments.insert(chance.randint(0, len(fragments)), PICTURE)
    return "".join(fragments)


def what_is_live(markdown: str) -> list[str]:
    """All that a reader's browser could fetch, follow or draw, other than links to sources."""
    return [found for reader in READERS for found in _live(reader.parse(markdown))]


def _live(tokens: list[Token]) -> Iterator[str]:
    linked = 0
    for token in tokens:
        if token.type in ("image", "html_inline", "html_block") or (
            token.type == "link_open" and token.attrs["href"] not in OWN
        ):
            yield f"{token.type} {token.attrs or token.content}"
        linked += token.nesting if token.type.startswith("link_") else 0
        if token.type == "text" and not linked:
            yield from _FOUND_BY_GFM.findall(token.content)
            yield from _DRAWN_BY_STREAMLIT.findall(token.content)
        if token.type == "fence" and "mermaid" in token.info:
            yield token.info
        yield from _live(token.children or [])


def unescaped(markdown: str) -> list[str]:
    """Dollars and directives that Streamlit would still read in what is not code."""
    tokens = [child for token in READERS[0].parse(markdown) if token.type == "inline" for child in token.children or ()]
    code = sum(token.content.count("$") for token in tokens if token.type == "code_inline")
    blocks = sum(
        token.content.count("$") for token in READERS[0].parse(markdown) if token.type in ("fence", "code_block")
    )
    escaped = len(re.findall(r"(?<!\\)(?:\\\\)*\\\$", markdown))
    return ["$"] if markdown.count("$") > code + blocks + escaped else []


@pytest.mark.attack
def test_no_answer_shows_a_picture_or_leads_elsewhere(attack: Attack) -> None:
    chance = random.Random(16)
    answers = [random_answer(chance) for _ in range(attack.times(500, full=100_000))]
    failures = [
        f"{answer!r}: {live[:2]}" for answer in answers if (live := what_is_live(answer_markdown(answer, SOURCES)))
    ]
    attack.report("answers on the page: pictures, foreign links, HTML, drawings", len(answers), failures)


@pytest.mark.attack
def test_no_passage_shows_a_picture_or_leads_anywhere_whatever_is_quoted(attack: Attack) -> None:
    chance = random.Random(19)
    failures, tries = [], attack.times(300, full=30_000)
    for _ in range(tries):
        text = random_answer(chance)
        starts = [chance.randint(0, len(text)) for _ in range(3)]
        blocks = passage_blocks(text, [(start, start + chance.randint(1, 40)) for start in starts])
        live = what_is_live("\n\n".join(block.markdown for block in blocks))
        failures += [f"{text!r} {starts}: {live[:2]}"] if live else []
    attack.report("passages with marks: pictures, links, HTML, drawings", tries, failures)


@pytest.mark.attack
def test_no_title_or_question_is_anything_but_its_letters(attack: Attack) -> None:
    chance = random.Random(17)
    texts = [random_answer(chance) for _ in range(attack.times(300, full=30_000))]
    failures = [f"{text!r}: {live[:2]}" for text in texts if (live := what_is_live(f"**1 · {literal(text)}**"))]
    attack.report("titles and questions on the page", len(texts), failures)


@pytest.mark.attack
def test_no_answer_mentions_or_links_in_slack(attack: Attack) -> None:
    """Slack reads `<...>` as a mention, a link or a command: only links to sources may be left of these."""
    chance = random.Random(18)
    marks = [
        *FRAGMENTS,
        "<!channel>",
        "<@U0123>",
        "<#C0123>",
        "<http://evil.example|x>",
        "&lt;!here&gt;",
        "|",
        "<!date^1^{date}|x>",
    ]
    answers = [
        "".join(chance.choice(marks) for _ in range(chance.randint(1, 24)))
        for _ in range(attack.times(300, full=30_000))
    ]
    allowed = {f"<{link}" for link in OWN}
    failures = []
    for answer in answers:
        source = read_source({**HITS[0], "title": answer or "x", "heading_path": [answer]})
        messages = answer_messages(Turn("q", "failed", answer, (source, *SOURCES[1:]), problem=answer), "1.0")
        texts = [
            *to_sections(answer, {1: SOURCES[0].link}),
            *(text for message in messages for text in _slack_texts(message["blocks"])),
        ]
        found = [mark for text in texts for mark in re.findall(r"<[^|>]*", text) if mark not in allowed]
        failures += [f"{answer!r}: {found[:2]}"] if found else []
    attack.report("answers and titles in Slack: mentions, foreign links", len(answers), failures)


def _slack_texts(blocks: list[dict[str, object]]) -> Iterator[str]:
    for block in blocks:
        for text in [block["text"]] if "text" in block else block["elements"]:  # type: ignore[attr-defined]
            assert text["verbatim"] is True
            yield text["text"]


@contextmanager
def foreign_server() -> Iterator[tuple[str, list[str]]]:
    """The address of a server that nobody may ask, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            asked.append(self.requestline)

        def do_GET(self) -> None:
            self.send_error(404)

    server = QuietServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()


def crafted(foreign: str) -> list[str]:
    """Answers that showed a picture or made a link before they were written from a tree of what they hold."""
    picture = f"![x]({foreign}/p.png)"
    return [
        picture,
        f"a ` b {picture}\n\nc ` d",
        f"- a `\n- {picture} `",
        f"text\n\n    ```\n\n{picture}",
        f"``` a`b\n{picture}",
        f"> ```\n\n{picture}",
        f"\\` {picture} `",
        f"| a ` | b |\n|---|---|\n| {picture} ` | `\\\\|{picture}` |",
        f"![x][k]\n\n[k]: {foreign}/r.png",
        (
            f'<img src="{foreign}/h.png"> <a href="{foreign}/a">a</a> <iframe src="{foreign}/f"></iframe>'
            " <script>document.title = 1</script>"
        ),
        f"[link]({foreign}/l) and <{foreign}/auto> and {foreign}/bare and www.evil.example and a@evil.example",
        f"http\\://evil.example www\\.evil.example :red[{picture}] $\\href{{{foreign}/k}}{{x}}$",
        f'```mermaid\nflowchart LR\n  A@{{ img: "{foreign}/m.png", label: "x", w: 60, h: 60 }} --> B\n```',
        f"~~~css\n@import url({foreign}/c.css)\n~~~",
    ]


@pytest.mark.attack
def test_a_browser_fetches_nothing_and_finds_no_foreign_link(browser: Browser, attack: Attack) -> None:
    with foreign_server() as (foreign, asked):
        answers = crafted(foreign)
        hit = {
            **HITS[0],
            "title": f"![x]({foreign}/t.png) {foreign}/t",
            "heading_path": [f"<img src={foreign}/h>"],
            "licence": f"{foreign}/licence",
        }
        hits = (
            {**hit, "url": f"http://127.0.0.1:1/a> ![x]({foreign}/u.png) <b"},
            {**HITS[1], "url": "data:text/html,x"},
            HITS[2],
        )
        with (
            FakeGateway(Script(deltas=tuple(f"{answer}\n\n" for answer in answers), hits=hits, cited=())) as gateway,
            page_served_at(gateway.url) as url,
        ):
            context = browser.new_context()
            page = context.new_page()
            page.goto(url)
            box = page.get_by_placeholder("Ask a chip-design question")
            box.fill(f"{foreign}/q ![x]({foreign}/q.png)")
            box.press("Enter")
            shown = page.locator(".st-key-answer-0")
            expect(shown).to_contain_text("@import", timeout=60_000)  # the last one; by then the others are drawn
            shown.get_by_text("Passages found (3)").click()
            page.wait_for_load_state("networkidle")
            assert page.title() == "ChipAlign"
            links = [str(link.get_attribute("href")) for link in page.locator("a[href]").all()]
            pictures = [
                str(picture.evaluate("it => it.outerHTML"))
                for picture in page.locator("img, iframe, object, embed, video, audio[src]").all()
            ]
            context.close()
    failures = [*asked, *(link for link in links if not link.startswith(("#", "http://127.0.0.1:1/a%3E"))), *pictures]
    attack.report("crafted answers in a browser", len(answers), failures)
    assert links
