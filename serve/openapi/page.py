"""The description of the API as a page: plain HTML and one style, no script and nothing from elsewhere.

It is drawn anew for each visitor.

    HTMLResponse(render(describe_api(base_url, has_key=False)))
"""

from __future__ import annotations

import html
import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

STYLE = (
    ":root{color-scheme:light dark}\n"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\n"
    "code,pre{font:14px/1.5 ui-monospace,monospace}\n"
    "code,dt{overflow-wrap:anywhere}\n"
    "pre{padding:.75rem;border:1px solid #8884;border-radius:8px;overflow-x:auto}\n"
    "details{border:1px solid #8884;border-radius:8px;margin:.5rem 0;padding:.5rem .75rem}\n"
    "summary{cursor:pointer}\n"
    "summary b{display:inline-block;min-width:4.5rem}\n"
    "dt{font:14px/1.5 ui-monospace,monospace;margin-top:.5rem}\n"
    "dd{margin-left:1.5rem}\n"
    "small{opacity:.7}"
)
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>{style}</style></head>
<body><h1>{title} <small>{version}</small></h1><p>{about}</p>
<p><a href="openapi.json">openapi.json</a> (OpenAPI {openapi}) at <code>{url}</code></p>
{operations}
<h2>Schemas</h2>
{schemas}</body></html>
"""


def render(document: dict[str, Any]) -> str:
    """The page of a document that `describe_api` made."""
    info = document["info"]
    fields = {
        "title": f"The API of {info['title']}",
        "version": info["version"],
        "about": info["description"],
        "openapi": document["openapi"],
        "url": document["servers"][0]["url"],
    }
    escaped = {name: html.escape(value) for name, value in fields.items()}
    operations, schemas = "\n".join(_groups(document)), "\n".join(_schemas(document))
    return PAGE.format(style=STYLE, operations=operations, schemas=schemas, **escaped)


def _groups(document: dict[str, Any]) -> Iterator[str]:
    for tag in document["tags"]:
        yield f"<h2>{html.escape(tag['name'])}</h2>"
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if tag["name"] in operation["tags"]:
                    yield "".join(_operation(document, path, method.upper(), operation))


def _schemas(document: dict[str, Any]) -> Iterator[str]:
    """Each named schema, to which the fields of others lead."""
    for name, schema in document["components"]["schemas"].items():
        head = f"<summary><code>{name}</code> {_prose(schema.get('description', ''))}</summary>"
        yield f'<details id="{name}">{head}{"".join(_fields(document, schema))}</details>'


def _operation(document: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    """One method of a path: what it takes, an example and what it gives."""
    said = f"<b>{method}</b> <code>{html.escape(path)}</code> {_prose(operation['summary'])}"
    yield f'<details id="{operation["operationId"]}"><summary>{said}</summary>'
    yield f"<p>{_prose(operation.get('description', ''))}</p>"
    if parameters := operation.get("parameters"):
        yield "<h3>Parameters</h3><dl>"
        yield from (_field(document, each["name"], each["schema"], each["required"]) for each in parameters)
        yield "</dl>"
    if body := operation.get("requestBody"):
        [(kind, content)] = body["content"].items()
        yield f"<h3>Body</h3><p>{html.escape(kind)}</p>"
        yield from _fields(document, content["schema"])
        if "example" in content:
            sent = json.dumps(content["example"], ensure_ascii=False)
            url = f"{document['servers'][0]['url']}{path}"
            command = f"curl {url} -H 'Content-Type: {kind}' \\\n  -d {shlex.quote(sent)}"
            yield f"<pre>{html.escape(command)}</pre>"
    answer = operation["responses"]["200"]["content"]
    yield f"<h3>Answer</h3><p>{html.escape(', '.join(answer))}</p>"
    yield from _fields(document, next(iter(answer.values()))["schema"])
    yield "</details>"


def _fields(document: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    """The fields of an object; nothing of another schema."""
    target = _resolve(document, schema)
    if properties := target.get("properties"):
        required = target.get("required", ())
        yield "<dl>"
        yield from (_field(document, name, each, name in required) for name, each in properties.items())
        yield "</dl>"


def _field(document: dict[str, Any], name: str, schema: dict[str, Any], is_required: bool) -> str:
    needed = ", required" if is_required else ""
    about = _prose(_resolve(document, schema).get("description", ""))
    return f"<dt>{html.escape(name)} <small>{_kind(schema)}{needed}</small></dt><dd>{about}</dd>"


def _kind(schema: dict[str, Any]) -> str:
    """What a value is, in a few words; a named schema is a link to it."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return f'<a href="#{name}">{name}</a>'
    if "enum" in schema:
        return html.escape(" or ".join(map(json.dumps, schema["enum"])))
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(_kind, schema["anyOf"])))
    kinds = schema.get("type", "any value")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    of = f" of {_kind(schema['items'])}" if "items" in schema else ""
    return " or ".join(
        f"{kind}{of if kind == 'array' else ''}" for kind in ([kinds] if isinstance(kinds, str) else kinds)
    )


def _prose(text: str) -> str:
    """Words with `names` as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _resolve(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    named: dict[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return named
