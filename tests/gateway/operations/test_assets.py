"""Files for browsers: what is not exactly what was reviewed is neither kept, nor packed, nor served."""

import gzip
import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from gateway.operations.assets import (
    MANIFEST,
    AssetFault,
    AssetsRefused,
    archive,
    collect,
    read_assets,
    reviewed,
    unpack,
)
from tests.peers.postfix import free_port, missing

ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The real files, as `make setup` has fetched them."""
    fetched = ROOT / "var" / "assets"
    if read_assets(fetched)[1]:
        missing("The set of files for browsers ('make assets')")
    packed = tmp_path / "assets.tar.gz"
    archive(fetched, packed)
    unpack(packed, tmp_path / "assets")
    return tmp_path / "assets"


def test_each_is_named_once_with_a_whole_sum_and_the_lock_names_no_host():
    names = [file.name for file in reviewed()]
    lock = (ROOT / "config" / "assets" / "package-lock.json").read_text(encoding="utf-8")

    assert len(names) == len(set(names))
    assert {len(file.sha256) for file in reviewed()} == {64}
    assert {Path(file.source).parts[0] for file in reviewed() if file.name.endswith(".licence.txt")} == {
        Path(file.source).parts[0] for file in reviewed()
    }, "every package comes with its licence"
    assert '"integrity": "sha512-' in lock
    assert "://" not in lock


def test_what_was_fetched_is_read_whole(folder: Path):
    contents, faults = read_assets(folder)

    assert set(contents) == {file.name for file in reviewed()}
    assert faults == ()


def test_one_changed_octet_takes_that_file_away_and_is_told(folder: Path):
    name = reviewed()[-1].name
    changed = bytearray((folder / name).read_bytes())
    changed[-1] ^= 1
    (folder / name).write_bytes(changed)

    contents, faults = read_assets(folder)

    assert faults == (AssetFault("differs", name),)
    assert set(contents) == {file.name for file in reviewed()} - {name}


def test_an_empty_folder_and_one_of_another_version_are_told_apart(folder: Path, tmp_path: Path):
    (folder / MANIFEST).write_text("{}")

    assert read_assets(tmp_path / "nothing") == ({}, (AssetFault("none"),))
    assert read_assets(folder) == ({}, (AssetFault("version"),))


def test_the_archive_has_the_same_octets_however_the_files_came(folder: Path, tmp_path: Path):
    archive(folder, tmp_path / "first.tar.gz")
    for path in folder.iterdir():
        os.utime(path, (1, 1))
        path.chmod(0o600)
    archive(folder, tmp_path / "second.tar.gz")

    assert (tmp_path / "first.tar.gz").read_bytes() == (tmp_path / "second.tar.gz").read_bytes()


def packed(contents: dict[str, bytes]) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as tar:
        for name, content in contents.items():
            head = tarfile.TarInfo(name)
            head.size = len(content)
            tar.addfile(head, io.BytesIO(content))
    return whole.getvalue()


@pytest.mark.parametrize("damage", ["changed", "missing", "cut", "no archive", "too long"])
def test_of_an_archive_that_is_not_whole_nothing_is_written(folder: Path, tmp_path: Path, damage: str):
    contents, _ = read_assets(folder)
    name = reviewed()[0].name
    whole = packed(contents)
    octets = {
        "changed": packed(contents | {name: b"other words"}),
        "missing": packed({other: content for other, content in contents.items() if other != name}),
        "cut": whole[: len(whole) // 2],
        "no archive": b"no archive",
        "too long": packed({name: bytes(9_000_000)}),
    }[damage]
    (tmp_path / "given.tar.gz").write_bytes(octets)

    with pytest.raises(AssetsRefused):
        unpack(tmp_path / "given.tar.gz", tmp_path / "new")

    assert not (tmp_path / "new").exists()


def test_names_that_lead_out_of_the_folder_and_links_are_passed_over(folder: Path, tmp_path: Path):
    contents, _ = read_assets(folder)
    whole = io.BytesIO(gzip.decompress(packed(contents | {"../outside": b"x", "/tmp/outside-assets": b"x"})))
    with tarfile.open(fileobj=whole, mode="a") as tar:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    (tmp_path / "given.tar.gz").write_bytes(gzip.compress(whole.getvalue()))

    unpack(tmp_path / "given.tar.gz", tmp_path / "new")

    assert {path.name for path in (tmp_path / "new").iterdir()} == {MANIFEST, *contents}
    assert not (tmp_path / "outside").exists()
    assert not Path("/tmp/outside-assets").exists()


def test_what_npm_fetched_is_collected_only_if_all_of_it_is_what_was_reviewed(folder: Path, tmp_path: Path):
    contents, _ = read_assets(folder)
    modules = tmp_path / "node_modules"
    for file in reviewed():
        (modules / file.source).parent.mkdir(parents=True, exist_ok=True)
        (modules / file.source).write_bytes(contents[file.name])
    collect(modules, tmp_path / "collected")
    (modules / reviewed()[0].source).write_bytes(b"other words")

    with pytest.raises(AssetsRefused, match=reviewed()[0].source):
        collect(modules, tmp_path / "refused")

    assert read_assets(tmp_path / "collected") == (contents, ())
    assert not (tmp_path / "refused").exists()


@pytest.mark.slow
@pytest.mark.peer
def test_the_script_says_in_one_line_that_there_are_none_and_leaves_nothing_behind(tmp_path: Path):
    if shutil.which("npm") is None:
        missing("npm")
    (tmp_path / "left").mkdir()
    nowhere = {"npm_config_registry": f"http://127.0.0.1:{free_port()}/"}
    places = {"TMPDIR": str(tmp_path / "left"), "FOLDER": str(tmp_path / "assets")}

    ended = subprocess.run(
        ["sh", "config/assets.sh"],
        cwd=ROOT,
        env=os.environ | nowhere | places,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert ended.returncode == 1
    assert "npm could not fetch them: ECONNREFUSED" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert list((tmp_path / "left").iterdir()) == []
    assert not (tmp_path / "assets").exists()
