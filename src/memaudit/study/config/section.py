"""What a section of the configuration is, and how its keys are declared and read."""

import json
import re
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def key(default: Any = ..., **options: Any) -> Any:
    """A key of the configuration, described by the docstring below it.

    `rebuilds` says what an edit of it rebuilds, if not what its section states; `allowed` what it
    may be, if the type does not say. Other options are pydantic's.
    """
    extra: dict[str, Any] = {
        name: options.pop(name) for name in ("rebuilds", "allowed") if name in options
    }
    return Field(default, json_schema_extra=extra, **options)


def rebuilds(what: str) -> ConfigDict:
    """What an edit of the keys of a section rebuilds."""
    return ConfigDict(json_schema_extra={"rebuilds": what})


def text(pattern: str, allowed: str, most: int | None = None) -> Any:
    """Text of a certain form; `allowed` says so in words, for error messages."""
    return Field(pattern=pattern, max_length=most, json_schema_extra={"allowed": allowed})


def _unique(values: list[Any]) -> list[Any]:
    if len(set(values)) < len(values):
        raise ValueError("a value occurs twice")
    return values


NAME = "at most 80 letters, digits and _ only, no blanks"
Name = Annotated[str, text("^[A-Za-z0-9_]+$", NAME, 80)]
Location = Annotated[str, text("^[^{}]*$", "a path without braces", 4096)]
Unique = AfterValidator(_unique)


class Section(BaseModel):
    """A section of the configuration: known keys only, values of exactly the stated type."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    @classmethod
    def model_json_schema(cls, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Return the JSON schema, with every description on one line."""
        schema = super().model_json_schema(*arguments, **options)
        found: dict[str, Any] = json.loads(json.dumps(schema), object_hook=_on_one_line)
        return found

    @field_validator("*", mode="before")
    @classmethod
    def _read_text(cls, value: Any, info: ValidationInfo) -> Any:
        """Read numbers, booleans and null that YAML or the command line give as text.

        A section without keys, which YAML reads as null, has its defaults.
        """
        annotation = cls.model_fields[info.field_name or ""].annotation
        is_section = isinstance(annotation, type) and issubclass(annotation, Section)
        if value is None and (is_section or get_origin(annotation) is dict):
            return {}
        return _from_text(value, _types(annotation))


def _on_one_line(node: dict[str, Any]) -> dict[str, Any]:
    if isinstance(text := node.get("description"), str):
        node["description"] = " ".join(text.split())
    return node


def _types(annotation: Any) -> set[Any]:
    """The types that occur in an annotation."""
    if get_origin(annotation) is Literal:
        return {str}
    arguments = get_args(annotation)
    if get_origin(annotation) is Annotated:
        arguments = arguments[:1]
    return set().union(*map(_types, arguments)) if arguments else {annotation}


def _from_text(value: Any, types: set[Any]) -> Any:
    if isinstance(value, list):
        return [_from_text(item, types) for item in value]
    if isinstance(value, dict) and types == {str}:
        return {name: _from_text(item, types) for name, item in value.items()}
    if isinstance(value, str):
        if not value.isprintable():
            raise ValueError("line breaks and control characters are not allowed")
        if NoneType in types and value in ("null", "~"):
            return None
        if bool in types and value in ("true", "false", "yes", "no"):
            return value in ("true", "yes")
        if {int, float} & types and _NUMBER.fullmatch(value):
            value = float(value)
    if isinstance(value, float):
        # one value for each number, as Snakemake compares their text: 60 of 6e1, 0.0 of -0.0
        return int(value) if int in types and value.is_integer() else value + 0.0
    return value
