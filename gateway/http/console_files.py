"""The files of the console's pages, as they came with the program: modules, one style sheet, texts in each language.

What a request names is a key of a table in memory. No path from outside reaches the disk.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

from gateway.http.loaded_assets import Asset

LANGUAGES: Mapping[str, str] = {"nl": "Nederlands", "fr": "Français", "de": "Deutsch", "en": "English"}
"""What each language calls itself."""
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".json": "application/json"}
_IMPORTED = re.compile(r'^(?:import|export) .*? from "\./([a-z_]+\.js)";$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ConsoleFiles:
    files: Mapping[str, Asset]
    """By their names; the texts of a language are `nl.json` and so on."""
    version: str
    """Of all of them together: it stands in their paths, so that a browser never keeps one that has changed."""
    texts: Mapping[str, Mapping[str, str]]
    """By language, then by key."""

    def path(self, name: str) -> str:
        return f"/console/{self.version}/{name}"

    def closure(self, module: str) -> tuple[str, ...]:
        """A module and all that it imports, directly or not: what a browser is told to fetch at once."""
        found, left = [], [module]
        while left:
            name = left.pop()
            if name not in found:
                found.append(name)
                left += _IMPORTED.findall(self.files[name].content.decode())
        return tuple(found)


def load_console() -> ConsoleFiles:
    """Reads them all. Raises KeyError for a file that is none of the kinds that are served."""
    contents = dict(sorted(_contents()))
    loaded = {name: _asset(name, content) for name, content in contents.items()}
    every = hashlib.sha256("".join(f"{name} {asset.etag}\n" for name, asset in loaded.items()).encode())
    texts = {language: json.loads(contents[f"{language}.json"]) for language in LANGUAGES}
    return ConsoleFiles(MappingProxyType(loaded), every.hexdigest()[:16], texts)


def _contents() -> Iterator[tuple[str, bytes]]:
    room = files("gateway") / "console"
    for folder in (room, room / "texts"):
        yield from ((one.name, one.read_bytes()) for one in folder.iterdir() if one.is_file())


def _asset(name: str, content: bytes) -> Asset:
    return Asset(content, _TYPES[Path(name).suffix], hashlib.sha256(content).hexdigest()[:32])
