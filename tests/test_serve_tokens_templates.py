"""serve.tokens.templates and template_worker: templates render as transformers renders them, and cost no more."""

from __future__ import annotations

from typing import Any

import pytest

import serve.tokens.templates
from serve.tokens.template_worker import MOST_CHARACTERS, compile_template, render
from serve.tokens.templates import TemplateRefused, TemplateRenderer, TemplateTooCostly
from tests.rows import for_each

MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "content": "<Hold> & slack\u00b5"},
    {"role": "assistant", "content": ""},
]


@for_each(
    ("template", "text"),
    [
        ("{{ messages[0].content }}", "<Hold> & slack\u00b5"),
        ("{% for m in messages %}\n  {{ m.role }}\n{% endfor %}\n", "  user\n  assistant\n"),
        ("{{ messages[0] | tojson }}", '{"role": "user", "content": "<Hold> & slack\u00b5"}'),
        ("{{ {'b': 1, 'a': [2]} | tojson(indent=1, sort_keys=true) }}", '{\n "a": [\n  2\n ],\n "b": 1\n}'),
        ("{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}{{ m.role }}{% endfor %}", "user"),
        ("{% generation %}{% set inner = 1 %}kept{% endgeneration %}{{ inner }}", "kept"),
        ("{{ missing }}|{{ messages | length }}", "|2"),
        ("{{ strftime_now('%%') }}", "%"),
        ("", ""),
    ],
)
def test_a_template_renders_as_in_transformers(template: str, text: str) -> None:
    assert render(template, {"messages": MESSAGES}) == {"text": text}


def test_transformers_gives_the_same_text() -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    template = (
        "{% for m in messages %}\n{% if m.content %}\n  <{{ m.role }}> {{ m | tojson }}\n{% else %}\n{% continue %}\n"
        "{% endif %}\n{% endfor %}\n{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    [theirs], _ = render_jinja_template([MESSAGES], chat_template=template, add_generation_prompt=True)
    assert render(template, {"messages": MESSAGES, "add_generation_prompt": True}) == {"text": theirs}


@for_each(
    ("template", "reason"),
    [
        ("{{ raise_exception('Roles must alternate') }}", "Roles must alternate"),
        ("{{ raise_exception('') }}", "TemplateError"),  # a refusal without words
        ("{% if %}", "Expected an expression"),
        ("{{ messages[0].nothing.more }}", "has no attribute 'nothing'"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ messages.append(1) }}", "of 'list' object is unsafe"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{% include 'secret' %}", "no loader"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
    ],
)
def test_what_a_template_may_not_or_cannot_do_is_its_refusal(template: str, reason: str) -> None:
    answer = render(template, {"messages": MESSAGES})
    assert reason.lower() in answer["refused"].lower()
    assert len(answer["refused"]) <= 500


def test_an_endless_text_ends_at_the_limit() -> None:
    template = f"{{% for n in range(99999) %}}{{{{ 'x' * {2**20} }}}}{{% endfor %}}"
    assert render(template, {}) == {"failed": f"it writes more than {MOST_CHARACTERS:,} characters"}


def test_a_template_is_compiled_once() -> None:
    assert compile_template("{{ 1 }}") is compile_template("{{ 1 }}")


def test_a_refusal_in_the_process_is_raised_and_the_next_conversation_renders() -> None:
    renderer = TemplateRenderer()
    assert renderer.render("{{ messages[0].content }}", {"messages": MESSAGES}) == "<Hold> & slack\u00b5"
    with pytest.raises(TemplateRefused, match="Roles must alternate"):
        renderer.render("{{ raise_exception('Roles must alternate') }}", {})
    assert renderer.render("{{ 'a' * 3 }}", {}) == "aaa"


def test_a_template_that_computes_for_ever_costs_one_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve.tokens.templates, "TIMEOUT_S", 0.5)
    renderer = TemplateRenderer()
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    with pytest.raises(TemplateTooCostly, match=r"longer than 0\.5 s or too much memory"):
        renderer.render(endless, {})
    with pytest.raises(TemplateTooCostly, match=r"MiB of memory|too much memory"):
        renderer.render("{% set x = 'x' * 2000000000 %}{{ x | length }}", {})
    assert renderer.render("{{ 1 + 1 }}", {}) == "2"
