"""Messages and documentation from the JSON schema of the configuration.

`python -m memaudit.study.schema` writes the table of keys in config/README.md and
config/schema.json, for editors.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from memaudit.study.config import Config
from memaudit.study.config.section import NAME
from memaudit.study.config.training import PAPER_RECIPES


def key_name(path: Iterable[Any]) -> str:
    """Return the name of a key: "training.device"."""
    return ".".join(map(str, path))


def shown(value: Any) -> str:
    """Return a value as it is written in YAML."""
    if value is None or isinstance(value, bool | list | dict):
        return json.dumps(value, default=str)
    return repr(value)


def explain_all(errors: Sequence[Any], schema: dict[str, Any]) -> list[str]:
    """One line for each validation error, but one for all keys that a section lacks."""
    missing: dict[str, list[str]] = {}
    lines = []
    for error in errors:
        if error["type"] == "missing":
            missing.setdefault(key_name(error["loc"][:-1]), []).append(str(error["loc"][-1]))
        else:
            lines.append(explain(error, schema))
    lines += [f"{section}: missing {', '.join(keys)}" for section, keys in missing.items()]
    return list(dict.fromkeys(lines))


def explain(error: Any, schema: dict[str, Any]) -> str:
    """One line for a validation error: key, value, what is allowed."""
    path, value = list(error["loc"]), error["input"]
    if len(path) > 1 and "anyOf" in _at(path[:-1], schema):
        path.pop()  # which of the alternatives was tried
    if path[-1:] == ["[key]"] or error["type"] == "invalid_key":
        wrong = path[-2] if path[-1] == "[key]" else path[-1]
        where = key_name(path[:-1] if path[-1] == "[key]" else path)
        if not isinstance(wrong, str):
            return f"{where}: the key {wrong!r} must be text"
        return f"{where}: the key {wrong!r} must be {NAME}"
    if error["type"] == "extra_forbidden":
        known = sorted(_at(path[:-1], schema)["properties"])
        near = get_close_matches(str(path[-1]), known, n=1)
        near = near or [_named(path[-1], schema)] if len(path) == 1 else near
        hint = f"unknown key; did you mean {near[0]}? The" if any(near) else "unknown key; the"
        return f"{key_name(path)} = {shown(value)}: {hint} known keys are {', '.join(known)}"
    if error["type"] == "value_error":
        return f"{key_name(path)} = {shown(value)}: {error['ctx']['error']}"
    if error["type"] == "finite_number":
        return f"{key_name(path)} = {shown(value)}: must be a finite number"
    if error["type"] == "string_type" and isinstance(value, bool):
        meant = _named(path[-1], schema, beyond=path)
        # YAML reads yes, no, on and off so
        hint = f"; did you mean {meant}?" if meant else "; if it is a text, write it in quotes"
        return f"{key_name(path)} = {shown(value)}: must be {_allowed(_at(path, schema))}{hint}"
    if error["type"] == "string_type" and isinstance(value, int | float | date):
        # YAML reads 2024_01 as 202401 and 2024-01-02 as a date
        kind = "a date" if isinstance(value, date) else "a number"
        return f"{key_name(path)} = {value}: read as {kind}, not as text; write it in quotes"
    return f"{key_name(path)} = {shown(value)}: must be {_allowed(_at(path, schema))}"


def _named(name: str, schema: dict[str, Any], beyond: Sequence[str] = ()) -> str:
    """Return the first key of this name, other than `beyond`, at any depth; empty if none."""
    left: list[tuple[str, ...]] = [()]
    while left:
        path = left.pop(0)
        node = _at(path, schema)
        if path and path[-1] == name and path != tuple(beyond):
            return key_name(path)
        left += [(*path, key) for key in node.get("properties", {})]
        if "patternProperties" in node:
            left.append((*path, "<name>"))
    return ""


def _at(path: Iterable[Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The part of the schema for a key."""
    node = schema
    for name in path:
        others = [*node.get("patternProperties", {}).values(), node.get("items", {})]
        node = node.get("properties", {}).get(name, others[0])
        for option in (node, *node.get("anyOf", ())):
            if "$ref" in option:
                node = schema["$defs"][option["$ref"].rpartition("/")[2]]
    return node


def _allowed(node: dict[str, Any]) -> str:
    """What a key may be, in words."""
    if "allowed" in node:
        return str(node["allowed"])
    if "anyOf" in node:
        return " or ".join(map(_allowed, node["anyOf"]))
    if "const" in node:
        return str(node["const"])
    if "enum" in node:
        return f"one of {', '.join(node['enum'])}"
    kind = node.get("type")
    if kind == "array":
        items = _allowed(node["items"])
        return f"a {'non-empty ' if node.get('minItems') else ''}list, each value {items}"
    if kind in ("integer", "number"):
        return f"{'an' if kind == 'integer' else 'a'} {kind}{_range(node)}"
    if kind == "object" or "$ref" in node:
        return "a mapping of keys to values"
    return {"boolean": "true or false", "string": "text", "null": "null"}[str(kind)]


def _range(node: dict[str, Any]) -> str:
    least, most = node.get("minimum"), node.get("maximum")
    if least is not None and most is not None:
        return f" from {_number(least)} to {_number(most)}"
    limits = {
        "of at least": least,
        "greater than": node.get("exclusiveMinimum"),
        "of at most": most,
        "less than": node.get("exclusiveMaximum"),
    }
    found = [f"{words} {_number(value)}" for words, value in limits.items() if value is not None]
    return " " + " and ".join(found).replace("and of", "and") if found else ""


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def documented_keys(
    schema: dict[str, Any], path: tuple[str, ...] = (), rebuilds: str = ""
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(key, its part of the JSON schema) of every key that has a value, in order."""
    for name in _at(path, schema).get("properties", ["<name>"]):
        node = _at((*path, name), schema)
        inherited = node.get("rebuilds", rebuilds)
        if "description" in node and "properties" not in node:
            yield key_name((*path, name)), node | {"rebuilds": inherited}
        else:
            yield from documented_keys(schema, (*path, name), inherited)


def table() -> str:
    """The keys as a Markdown table, for config/README.md."""
    lines = ["| key | default | allowed | meaning | an edit rebuilds |", "|---|---|---|---|---|"]
    for key, node in documented_keys(Config.model_json_schema()):
        default = _default(key, node)
        allowed = _allowed(node).replace("|", "\\|")
        lines.append(
            f"| `{key}` | {default} | {allowed} | {node['description']} | {node['rebuilds']} |"
        )
    return "\n".join(lines)


def _default(key: str, node: dict[str, Any]) -> str:
    if key.startswith("recipes."):
        field = key.rpartition(".")[2]
        values = dict.fromkeys(json.dumps(recipe[field]) for recipe in PAPER_RECIPES.values())
        return " or ".join(f"`{value.strip(chr(34))}`" for value in values)
    if "default" not in node:
        return ""
    return f"`{json.dumps(node['default']).strip(chr(34))}`"


def write_documentation(folder: Path) -> None:
    """Write the table of keys into README.md of a folder, and schema.json."""
    readme = folder / "README.md"
    head, begin, rest = readme.read_text(encoding="utf-8").partition("<!-- keys -->\n")
    _, end, tail = rest.partition("<!-- end of keys -->")
    readme.write_text(f"{head}{begin}{table()}\n{end}{tail}", encoding="utf-8")
    text = json.dumps(Config.model_json_schema(), indent=1)
    (folder / "schema.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    write_documentation(Path("config"))
