"""All that is wrong with a settings file, each fault with its path and its line. Knows structs, and none in particular.

msgspec stops at the first fault; whoever writes a file for a night's work wants to hear of all of them.
"""

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

import msgspec


class Fault(msgspec.Struct, frozen=True):
    path: str
    """`$.sms.carriers.first.port`."""
    text: str


def faults_of(value: Any, wanted: Any, path: str = "$") -> Iterator[Fault]:
    """What keeps `value` from being a `wanted`: a struct, a dictionary of structs, a union of them, anything else."""
    structs = [kind for kind in get_args(wanted) or (wanted,) if _is_struct(kind)]
    if get_origin(wanted) is dict and isinstance(value, dict):
        for name, inner in value.items():
            yield from faults_of(inner, get_args(wanted)[1], f"{path}.{name}")
    elif structs and isinstance(value, dict):
        yield from _faults_of_one(value, structs, path)
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
    wanted = tags.get(value.get("type") if structs[0].__struct_config__.tag_field else None)
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
            yield Fault(f"{path}.{name}", f"there is no key `{name}` here{meant}")
    for name, field in fields.items():
        if field.required and name not in value:
            yield Fault(path, f"the key `{name}` is missing")


def _unconverted(value: Any, wanted: Any, path: str) -> Iterator[Fault]:
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError as exc:
        text, _, inner = str(exc).partition(" - at `$")
        yield Fault(path + inner.rstrip("`"), text)
