"""Files of other projects that browsers are served: which ones, and their octets as they were reviewed.

`assets.list` names each with its sha256. They are no part of the project: config/assets.sh fetches them, and puts them
into a folder by

    python -m gateway.operations.assets collect NODE_MODULES FOLDER
    python -m gateway.operations.assets archive FOLDER FILE.tar.gz
    python -m gateway.operations.assets unpack FILE.tar.gz FOLDER

of which the last two bring them to a machine without any net. In each step, and when a server reads them, what differs
from the list is refused.
"""

import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

MANIFEST = "manifest.json"
"""Written last: a folder that has it is whole. It holds the sha256 of each file."""
_LIST = Path(__file__).with_name("assets.list")
_MOST_BYTES = 8_388_608
"""Of one file."""


class AssetsRefused(Exception):
    """Files are missing, or are not what was reviewed: a sentence that names them."""


@dataclass(frozen=True, slots=True)
class ReviewedFile:
    sha256: str
    name: str
    """Under which it is kept in the folder, and served."""
    source: str
    """Where it lies in node_modules: its package and its path there."""


@dataclass(frozen=True, slots=True)
class AssetFault:
    """Why files are not served. `none`: the folder has no manifest; `version`: it has those of another version of this
    program; `differs`: this one file is not what was reviewed, or is not there."""

    cause: Literal["none", "version", "differs"]
    name: str = ""


def reviewed() -> tuple[ReviewedFile, ...]:
    """All of the list, in its order."""
    lines = _LIST.read_text(encoding="utf-8").splitlines()
    return tuple(ReviewedFile(*line.split()) for line in lines if not line.startswith("#"))


def read_assets(folder: Path) -> tuple[dict[str, bytes], tuple[AssetFault, ...]]:
    """The files of a folder that are what was reviewed, by their names, and what is wrong with the rest."""
    wanted = reviewed()
    try:
        manifest = (folder / MANIFEST).read_bytes()
    except OSError:
        return {}, (AssetFault("none"),)
    if manifest != _manifest(wanted):
        return {}, (AssetFault("version"),)
    found = {file.name: _as_reviewed(folder / file.name, file) for file in wanted}
    good = {name: content for name, content in found.items() if content is not None}
    return good, tuple(AssetFault("differs", name) for name in found if name not in good)


def collect(node_modules: Path, folder: Path) -> None:
    """Copies what the list names. Raises AssetsRefused, and OSError where the folder cannot be written."""
    found = {file.name: (file, _as_reviewed(node_modules / file.source, file)) for file in reviewed()}
    _require_all({file.source: content for file, content in found.values()})
    _write(folder, {name: content for name, (_, content) in found.items() if content is not None})


def archive(folder: Path, file: Path) -> None:
    """The files in a tarball whose octets follow from theirs alone. Raises AssetsRefused and OSError."""
    contents, faults = read_assets(folder)
    if faults:
        raise AssetsRefused(f"{folder} has not all files as they were reviewed: 'make assets' fetches them.")
    packed = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as squeezed,
        tarfile.open(fileobj=squeezed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, content in sorted((contents | {MANIFEST: _manifest(reviewed())}).items()):
            head = tarfile.TarInfo(name)
            head.size = len(content)
            tar.addfile(head, io.BytesIO(content))
    _replace(file, packed.getvalue())


def unpack(file: Path, folder: Path) -> None:
    """The files of such a tarball, checked before any is written. Raises AssetsRefused and OSError."""
    wanted = {one.name: one for one in reviewed()}
    found: dict[str, bytes | None] = dict.fromkeys(wanted)
    try:
        with tarfile.open(file, "r:gz") as tar:
            for member in tar:
                if member.size > _MOST_BYTES:
                    raise AssetsRefused(f"{file} holds {member.name}, which is longer than any file of these.")
                content = tar.extractfile(member) if member.isreg() and member.name in wanted else None
                if content is not None:
                    found[member.name] = _checked(content.read(), wanted[member.name])
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as exc:
        raise AssetsRefused(f"{file} is no archive of 'make assets-archive': {exc}") from exc
    _require_all(found)
    _write(folder, {name: content for name, content in found.items() if content is not None})


def _as_reviewed(path: Path, file: ReviewedFile) -> bytes | None:
    try:
        with path.open("rb") as opened:
            return _checked(opened.read(_MOST_BYTES + 1), file)
    except OSError:
        return None


def _checked(content: bytes, file: ReviewedFile) -> bytes | None:
    return content if hashlib.sha256(content).hexdigest() == file.sha256 else None


def _require_all(found: Mapping[str, bytes | None]) -> None:
    odd = [name for name, content in found.items() if content is None]
    if odd:
        raise AssetsRefused(f"missing, or not what was reviewed: {', '.join(odd)}")


def _manifest(files: Sequence[ReviewedFile]) -> bytes:
    return json.dumps({"sha256": {file.name: file.sha256 for file in files}}, indent=1, sort_keys=True).encode() + b"\n"


def _write(folder: Path, contents: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    for name, content in contents.items():
        _replace(folder / name, content)
    _replace(folder / MANIFEST, _manifest(reviewed()))


def _replace(path: Path, content: bytes) -> None:
    made = path.with_name(f".{path.name}.new")
    made.write_bytes(content)
    os.replace(made, path)


def main(words: Sequence[str]) -> str:
    """What went wrong, as a sentence; nothing where nothing did."""
    steps = {"collect": collect, "archive": archive, "unpack": unpack}
    if len(words) != 3 or words[0] not in steps:
        return "usage: collect NODE_MODULES FOLDER | archive FOLDER FILE | unpack FILE FOLDER"
    try:
        steps[words[0]](Path(words[1]), Path(words[2]))
    except (AssetsRefused, OSError) as exc:
        return str(exc)
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) or None)
