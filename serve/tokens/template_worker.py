"""Renders chat templates in a process with limits: a hostile checkpoint's template costs one request at most.

It answers messages (`rag.child`) and knows no tokenizer; `templates` starts it. It ends when its input ends or when it
has computed too long, and it keeps within its memory. Its jinja2 environment is the one that transformers uses for chat
templates. It loads only the standard library and jinja2, so that it starts in a tenth of a second.

    python -m serve.tokens.template_worker MEMORY_BYTES TIMEOUT_S
"""

from __future__ import annotations

import json
import signal
import sys
from datetime import datetime
from functools import lru_cache
from typing import Any

import jinja2
import jinja2.ext
from jinja2 import nodes
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from rag.child import read_message, serve_parent, set_timer, write_message

TIMEOUT_S = 10  # for one conversation; an honest template takes milliseconds
MEMORY_BYTES = 2**30  # of address space; an honest template needs a tenth of that for a conversation of 8 MiB
MOST_CHARACTERS = 32 * 2**20  # of a rendered conversation; the largest request has 8 MiB


class Generation(jinja2.ext.Extension):
    """The tags `{% generation %}`, which mark the text that a model is trained on; here they mean nothing."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        """The body, with a scope of its own."""
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


@lru_cache(maxsize=8)
def compile_template(template: str) -> jinja2.Template:
    """A chat template, compiled in the environment that transformers gives it."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(template)


def to_json(
    value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False
) -> str:
    """JSON without jinja2's escapes for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def refuse(message: str) -> None:
    """The function that a template calls to refuse a conversation."""
    raise jinja2.TemplateError(message)


def render(template: str, variables: dict[str, Any]) -> dict[str, str]:
    """`text`, or `refused` with the template's reason, or `failed` if it exceeds its limits."""
    pieces, size = [], 0
    try:
        for piece in compile_template(template).generate(**variables):
            pieces.append(piece)
            size += len(piece)
            if size > MOST_CHARACTERS:
                return {"failed": f"it writes more than {MOST_CHARACTERS:,} characters"}
        return {"text": "".join(pieces)}
    except MemoryError:
        return {"failed": f"it needs more than {MEMORY_BYTES // 2**20} MiB of memory"}
    except Exception as error:  # whatever a template does wrong
        return {"refused": str(error)[:500] or type(error).__name__}


def main(memory_bytes: int, timeout_s: float) -> None:
    """Render conversations until the input ends."""
    requests, answers = serve_parent(memory_bytes)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started this
    while (message := read_message(requests)) is not None:
        set_timer(timeout_s)
        request = json.loads(message[1])
        answer = json.dumps(render(request["template"], request["variables"]), ensure_ascii=False).encode()
        write_message(answers, {}, answer)
        set_timer(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
