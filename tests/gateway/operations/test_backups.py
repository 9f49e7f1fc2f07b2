"""Backups by hand and by schedule: whole, encrypted where a key is set, and put back as they were."""

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.operations import backups
from gateway.operations.backups import BackupRefused, Schedule
from gateway.settings import BackupSettings
from store import copies, meta
from store.engine.database import open_database
from store.engine.schema import migrate
from tests.gateway.command_line import CommandLine
from tests.store.makers import a_campaign, a_town

KEY = "correct horse battery"


class Desk(CommandLine):
    async def fill(self) -> None:
        await migrate(self.url)
        async with open_database(self.url) as database:
            self.campaign = (await a_campaign(database, 3)).public_id


@pytest.fixture(params=["", '[backup]\nbackup_key = "env:BACKUP"\n'], ids=["plain", "encrypted"])
def desk(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("BACKUP", KEY)
    made = Desk(tmp_path, request.param)
    asyncio.run(made.fill())
    return made


def test_a_backup_is_made_put_back_and_what_it_would_send_is_decided(desk: Desk) -> None:
    backup = desk.folder / "copy"
    said = desk.said("backup", str(backup))
    desk.store.unlink()

    assert "3 members, 1 campaigns" in said
    assert backups.is_sealed(backup) == (b"env:BACKUP" in desk.config.read_bytes())
    assert backup.stat().st_mode & 0o777 == 0o600
    told = desk.said("restore", str(backup))
    assert "would send 3 messages" in told
    campaign = told.split("campaign ")[1].split()[0]
    assert "would send 3 messages" in desk.said("restore"), "it is still to be decided"

    assert f"Retired: campaign {campaign}" in desk.said("retire", campaign)
    assert "there is nothing to decide" in desk.said("restore")
    assert "is not held by a restore" in desk.ask("retire", campaign).stderr
    assert desk.said("audit", "--action", "retire").count("\n") == 1
    assert f"campaign '{campaign}' has ended" in desk.ask("hold", "campaign", campaign).stderr


def test_a_hold_of_before_the_backup_is_decided_with_the_others_and_one_of_afterwards_is_not(desk: Desk) -> None:
    campaign = desk.campaign
    desk.said("hold", "campaign", campaign, "--reason", "wrong street")
    desk.said("backup", str(desk.folder / "copy"))

    told = desk.said("restore", str(desk.folder / "copy"), "--replace")
    assert f"campaign {campaign}" in told
    assert "would send 3 messages" in told
    [line] = [line for line in desk.ask("status").stdout.splitlines() if "HOLD" in line]
    assert "wrong street" in line
    assert f"tocsin retire {campaign} " in line

    assert "is told twice" in desk.said("resume", "campaign", campaign)
    desk.said("hold", "campaign", campaign, "--reason", meta.RESTORED)
    assert "there is nothing to decide" in desk.said("restore")
    assert "no campaign is held by a restore" in desk.refused("retire", "all")


def test_a_store_that_is_there_is_set_aside_only_when_that_is_said(desk: Desk) -> None:
    desk.said("backup", str(desk.folder / "copy"))

    refused = desk.ask("restore", str(desk.folder / "copy"))
    assert refused.exit_code == 1
    assert "--replace" in refused.stderr

    desk.said("restore", str(desk.folder / "copy"), "--replace")
    [aside] = [name for name in os.listdir(desk.folder) if ".before-" in name and name.endswith("Z")]
    assert copies.look_through(desk.folder / aside)["member"] == 3


def test_a_backup_takes_no_files_place_and_leaves_nothing_behind_when_it_fails(desk: Desk) -> None:
    (desk.folder / "mine").write_text("mine")
    before = sorted(os.listdir(desk.folder))

    refused = desk.ask("backup", str(desk.folder / "mine"))
    nowhere = desk.ask("backup", str(desk.folder / "no" / "folder"))

    assert (refused.exit_code, nowhere.exit_code) == (2, 2)
    assert (desk.folder / "mine").read_text() == "mine"
    assert set(os.listdir(desk.folder)) - set(before) <= {"tocsin.db-wal", "tocsin.db-shm"}


def test_another_key_and_none_are_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKUP", KEY)
    desk = Desk(tmp_path, '[backup]\nbackup_key = "env:BACKUP"\n')
    asyncio.run(desk.fill())
    desk.said("backup", str(tmp_path / "copy"))

    monkeypatch.setenv("BACKUP", "another secret of some length")
    other = desk.ask("restore", str(tmp_path / "copy"), "--replace")
    none = Desk(tmp_path).ask("restore", str(tmp_path / "copy"), "--replace")

    assert "cannot be decrypted" in other.stderr
    assert "is encrypted: backup.backup_key must be set" in none.stderr
    assert desk.store.exists()


# ---- the seal ----------------------------------------------------------------------------------------------------

SIZES = st.sampled_from([0, 1, 15, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 2 << 20])


@settings(max_examples=30, deadline=None)
@given(size=SIZES, secret=st.text(min_size=16, max_size=40))
def test_what_is_sealed_is_unsealed_as_it_was(tmp_path_factory: pytest.TempPathFactory, size: int, secret: str) -> None:
    folder = tmp_path_factory.mktemp("seal")
    (folder / "plain").write_bytes(os.urandom(size))

    backups.seal(folder / "plain", folder / "sealed", secret)
    backups.unseal(folder / "sealed", folder / "again", secret)

    assert (folder / "again").read_bytes() == (folder / "plain").read_bytes()


@pytest.mark.parametrize("size", [10, 3 << 20])
@pytest.mark.parametrize("harm", ["changed", "cut", "cut at a piece", "swapped", "longer", "head"])
def test_whatever_is_done_to_it_is_noticed(tmp_path: Path, size: int, harm: str) -> None:
    (tmp_path / "plain").write_bytes(os.urandom(size))
    backups.seal(tmp_path / "plain", tmp_path / "sealed", KEY)
    raw, head, piece = (tmp_path / "sealed").read_bytes(), 32, (1 << 20) + 16
    if harm.startswith(("cut at", "swapped")) and size < piece:
        pytest.skip("it has one piece")
    pieces = [raw[start : start + piece] for start in range(head, len(raw), piece)]
    harmed = {
        "changed": raw[:-5] + bytes([raw[-5] ^ 1]) + raw[-4:],
        "cut": raw[:-1],
        "cut at a piece": raw[: head + 2 * piece],
        "swapped": raw[:head] + b"".join([*pieces[1:2], *pieces[:1], *pieces[2:]]),
        "longer": raw + b"x",
        "head": b"X" + raw[1:],
    }[harm]
    (tmp_path / "sealed").write_bytes(harmed)

    with pytest.raises(BackupRefused):
        backups.unseal(tmp_path / "sealed", tmp_path / "again", KEY)


# ---- by schedule -------------------------------------------------------------------------------------------------


async def test_a_schedule_makes_one_when_its_time_has_come_and_keeps_so_many(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/tocsin.db"
    await migrate(url)
    folder = tmp_path / "backups"
    async with open_database(url) as database:
        await a_town(database, 3)
        every_time = Schedule(database, BackupSettings(folder=str(folder), every_h=0.0, keep=2))
        daily = Schedule(database, BackupSettings(folder=str(folder), every_h=24.0))
        for _ in range(3):
            await every_time.run()
            await asyncio.sleep(1.05)  # their names have seconds
        made = sorted(os.listdir(folder))
        await daily.run()
        async with database.read() as conn:
            last = await copies.last_backup(conn)

    assert len(made) == 2
    assert sorted(os.listdir(folder)) == made, "a day has not passed"
    assert last is not None
    assert last.path == str(folder / made[-1])
    assert copies.look_through(folder / made[-1])["member"] == 3


async def test_a_schedule_that_fails_says_so_and_the_server_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/tocsin.db"
    await migrate(url)
    (tmp_path / "file").touch()
    async with open_database(url) as database:
        again = await Schedule(database, BackupSettings(folder=str(tmp_path / "file" / "x"))).run()

    assert again is False
    [record] = [r for r in caplog.records if getattr(r, "action", "") == "backup-failed"]
    assert record.alarm is True  # type: ignore[attr-defined]


async def test_without_a_folder_none_is_made(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/tocsin.db"
    await migrate(url)
    async with open_database(url) as database:
        await Schedule(database, BackupSettings()).run()

    assert sorted(os.listdir(tmp_path)) == ["tocsin.db"]
