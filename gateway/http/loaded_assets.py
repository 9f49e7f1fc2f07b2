"""The files that pages are made of, as they were read at the start: others' as they were reviewed, and our own.

What a request names is a key of a table in memory. No path from outside reaches the disk.
"""

import hashlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

from gateway.operations.assets import AssetFault, read_assets, reviewed

log = logging.getLogger(__name__)

_OWN = ("docs_page.js",)
_BESIDE_THE_PROGRAM = Path(__file__).parents[2] / "var" / "assets"
_TYPES = MappingProxyType({".js": "text/javascript", ".css": "text/css", ".txt": "text/plain"})
"""By the end of a name; a file of any other is not loaded."""
_LICENCE = ".licence.txt"


@dataclass(frozen=True, slots=True)
class Asset:
    content: bytes
    media_type: str
    etag: str


@dataclass(frozen=True, slots=True)
class LoadedAssets:
    files: Mapping[str, Asset]
    faults: tuple[AssetFault, ...]
    """Why some are not there."""
    version: str
    """Of all of them together: it stands in their paths, so that a browser never keeps one that has changed."""
    licences: bytes
    """The licence texts of those that are there, each below its source."""

    def path(self, name: str) -> str:
        return f"/assets/{self.version}/{name}"


def load_assets(folder: str) -> LoadedAssets:
    """Reads them all; what differs from what was reviewed is told in the log and left out. `folder`: as in the
    settings. Raises KeyError for a name whose end is not in the table of types."""
    place = Path(folder) if folder else _BESIDE_THE_PROGRAM
    contents, faults = read_assets(place)
    for fault in faults:
        told = {"action": "assets-missing", "folder": str(place), "cause": fault.cause, "file": fault.name}
        log.warning("files for browsers are not served", extra=told)
    texts = b"\n\n".join(_licences(contents))
    contents |= {name: (files("gateway") / "http" / name).read_bytes() for name in _OWN}
    loaded = {name: _asset(name, content) for name, content in sorted(contents.items())}
    every = hashlib.sha256("".join(f"{name} {asset.etag}\n" for name, asset in loaded.items()).encode())
    return LoadedAssets(MappingProxyType(loaded), faults, every.hexdigest()[:16], texts)


def _licences(contents: Mapping[str, bytes]) -> Iterator[bytes]:
    for file in reviewed():
        if file.name.endswith(_LICENCE) and file.name in contents:
            yield file.source.encode() + b"\n\n" + contents[file.name]


def _asset(name: str, content: bytes) -> Asset:
    return Asset(content, _TYPES[Path(name).suffix], hashlib.sha256(content).hexdigest()[:32])
