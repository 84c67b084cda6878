"""Short words for JSON Schemas, so that the tables of schemas read as data.

They are plain dictionaries.

    record("id", id=text("The id."), page=nullable(whole("From 1.")))
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def text(description: str = "", **more: Any) -> Schema:
    """A string."""
    return _described({"type": "string", **more}, description)


def word(*values: str, description: str = "") -> Schema:
    """One of some words."""
    return _described({"type": "string", "enum": list(values)}, description)


def whole(description: str = "", least: int | None = None, most: int | None = None) -> Schema:
    """An integer within bounds."""
    return _described({"type": "integer", **_bounds(least, most)}, description)


def number(description: str = "", least: float | None = None, most: float | None = None) -> Schema:
    """A number within bounds."""
    return _described({"type": "number", **_bounds(least, most)}, description)


def flag(description: str = "") -> Schema:
    """A boolean."""
    return _described({"type": "boolean"}, description)


def anything(description: str = "") -> Schema:
    """An object with whatever fields."""
    return _described({"type": "object"}, description)


def items(of: Schema, description: str = "", **more: Any) -> Schema:
    """A list."""
    return _described({"type": "array", "items": of, **more}, description)


def record(*required: str, **properties: Schema) -> Schema:
    """An object with these fields, some of which it must have, and perhaps others."""
    schema: Schema = {"type": "object", "properties": properties}
    return {**schema, "required": list(required)} if required else schema


def whole_record(**properties: Schema) -> Schema:
    """An object that has all of these fields, and perhaps others."""
    return record(*properties, **properties)


def closed(schema: Schema) -> Schema:
    """An object with no other fields."""
    return {**schema, "additionalProperties": False}


def about(description: str, schema: Schema) -> Schema:
    """A schema and what it is of."""
    return _described(schema, description)


def either(*schemas: Schema, description: str = "") -> Schema:
    """One of several."""
    return _described({"anyOf": list(schemas)}, description)


def nullable(schema: Schema) -> Schema:
    """The same, or null."""
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return either(schema, {"type": "null"})


def ref(name: str) -> Schema:
    """A schema of the document by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def _bounds(least: float | None, most: float | None) -> Schema:
    given = {"minimum": least, "maximum": most}
    return {name: value for name, value in given.items() if value is not None}


def _described(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description} if description else schema
