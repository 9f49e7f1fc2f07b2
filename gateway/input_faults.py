"""All that is wrong with a settings file or a JSON body, each fault with its path, what may stand there, and its line.
Knows structs, and none in particular.

msgspec stops at the first fault; whoever writes a file for a night's work wants to hear of all of them.
"""

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec


class Fault(msgspec.Struct, frozen=True):
    path: str
    """`$.sms.carriers.first.port`."""
    text: str
    cause: str = ""
    """unknown, missing, choice, or empty for what msgspec says by itself."""
    facts: tuple[str, ...] = ()
    """Of the cause: the key and what is meant by it, the key, or the value and the choices."""
    remedy: str = ""


def faults_of(value: Any, wanted: Any, path: str = "$") -> Iterator[Fault]:
    """What keeps `value` from being a `wanted`: a struct, a dictionary of structs, a union of them, anything else."""
    structs = [kind for kind in get_args(wanted) or (wanted,) if _is_struct(kind)]
    if get_origin(wanted) is dict and isinstance(value, dict):
        for name, inner in value.items():
            yield from faults_of(inner, get_args(wanted)[1], f"{path}.{name}")
    elif structs and isinstance(value, dict):
        yield from _faults_of_one(value, structs, path)
    elif get_origin(wanted) in (tuple, list) and isinstance(value, list):
        found = [f for n, one in enumerate(value) for f in faults_of(one, get_args(wanted)[0], f"{path}[{n}]")]
        yield from found or _unconverted(value, wanted, path)
    elif get_origin(wanted) is Annotated:
        found = list(faults_of(value, get_args(wanted)[0], path))
        yield from found or _unconverted(value, wanted, path)
    else:
        yield from _unconverted(value, wanted, path)


def lines_of(document: str) -> dict[str, int]:
    """path -> line of what a sound TOML document says, tables included."""
    lines = document.splitlines()
    found: dict[str, int] = {}
    table = "$"
    start = 0
    while start < len(lines):
        end, said = _statement(lines, start)
        if said and lines[start].lstrip().startswith("["):
            table = "$"
            for table in _paths(said, "$"):
                found.setdefault(table, start + 1)
        else:
            for path in _paths(said, table):
                found.setdefault(path, start + 1)
        start = end
    return found


def line_of(path: str, lines: Mapping[str, int]) -> int:
    """Of the path, or of the nearest table around it; 0 where there is none."""
    while path and path not in lines:
        path = path.rpartition("[" if path.endswith("]") else ".")[0]
    return lines.get(path, 0)


def _statement(lines: list[str], start: int) -> tuple[int, dict[str, Any]]:
    """Where the statement that begins on a line ends, and what it says by itself."""
    for end in range(start + 1, len(lines) + 1):
        try:
            return end, tomllib.loads("\n".join(lines[start:end]))
        except tomllib.TOMLDecodeError:
            continue  # a list or a text of several lines
    return start + 1, {}


def _paths(said: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, inner in said.items():
        yield f"{path}.{name}"
        if isinstance(inner, dict):
            yield from _paths(inner, f"{path}.{name}")


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _faults_of_one(value: dict[str, Any], structs: list[Any], path: str) -> Iterator[Fault]:
    """Of a table that is one of some structs, told apart by its `type`."""
    tags = {kind.__struct_config__.tag: kind for kind in structs}
    named = value.get("type") if structs[0].__struct_config__.tag_field else None
    wanted = tags.get(named) if named is None or isinstance(named, str) else None
    if wanted is None:
        said = f"`{value['type']}` is none of them" if "type" in value else "it is missing"
        yield Fault(f"{path}.type", f"one of {', '.join(map(str, tags))} is wanted, and {said}")
        return
    fields = {field.encode_name: field for field in msgspec.structs.fields(wanted)}
    found = list(_faults_of_fields(value, fields, path, wanted.__struct_config__.tag_field))
    # What a struct demands of its fields together is told once each of them is sound.
    yield from found or _unconverted(value, wanted, path)


def _faults_of_fields(
    value: dict[str, Any], fields: Mapping[str, Any], path: str, tag_field: str | None
) -> Iterator[Fault]:
    for name, inner in value.items():
        if name in fields:
            yield from faults_of(inner, fields[name].type, f"{path}.{name}")
        elif name != tag_field:
            near = difflib.get_close_matches(name, fields, 1)
            meant = f": is `{near[0]}` meant?" if near else ""
            keys = ", ".join(fields)
            remedy = f"Known are: {keys}."
            yield Fault(f"{path}.{name}", f"there is no key `{name}` here{meant}", "unknown", (name, keys), remedy)
    for name, field in fields.items():
        if field.required and name not in value:
            yield Fault(path, f"the key `{name}` is missing", "missing", (name,), f"Add `{name}`.")


def _unconverted(value: Any, wanted: Any, path: str) -> Iterator[Fault]:
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError as exc:
        text, _, inner = str(exc).partition(" - at `$")
        choices = ", ".join(_choices(wanted))
        if choices and text.startswith("Invalid enum value"):
            said = value if isinstance(value, str) else repr(value)
            text = f"{text}: one of {choices} is wanted"
            yield Fault(path + inner.rstrip("`"), text, "choice", (said[:60], choices), f"Write one of {choices}.")
            return
        yield Fault(path + inner.rstrip("`"), text)


def _choices(wanted: Any) -> Iterator[str]:
    """The words that may stand there, where these are words."""
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        yield from (str(choice.value) for choice in wanted)
    elif get_origin(wanted) is Literal:
        yield from map(str, get_args(wanted))
    else:
        for inner in get_args(wanted):
            yield from _choices(inner)
