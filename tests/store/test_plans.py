"""What SQLite makes of the statements that are asked often: none of them reads a whole table that grows.

A value that is bound says nothing when a statement is planned: a partial index (`WHERE state = 0`) is used only where
its constant stands in the text. That is seen here, too, as nothing is bound.
"""

import importlib
import pkgutil
import re
import sqlite3
from pathlib import Path

import pytest

import store.campaigns
import store.money
import store.notices
import store.outbox
from store.engine import schema
from store.engine.prepared_statement import Prepared

GROWS = (
    "delivery", "batch", "campaign", "campaign_text", "expansion", "carrier_ref", "doubt", "receipt_inbox", "member",
    "contact", "audit", "entry", "notice", "notice_quota", "webhook_call",
)  # fmt: skip
"""Tables that grow with what was ever sent, or with the register."""
SELDOM = {"store.outbox.overview", "store.money.recount", "store.money.balances"}
"""Asked by an operator, and now and then by the metrics."""


KNOWN = {"store.campaigns.addenda._due"}
"""Looks at each campaign that was sealed within 35 days, once a second: what has changed since stands in no index, as
counters are written in place only where none knows them (`store.tables`)."""
ELSEWHERE = {"store.money.bookings._lock"}
"""In PostgreSQL's words alone."""
_PARTIAL = "SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE%INDEX%WHERE%'"


def hot() -> list[tuple[str, Prepared]]:
    found = []
    for room in (store.outbox, store.campaigns, store.money, store.notices):
        for module in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
            if module.name in SELDOM:
                continue
            for name, value in vars(importlib.import_module(module.name)).items():
                named = f"{module.name}.{name}"
                is_new = isinstance(value, Prepared) and not any(value is other for _, other in found)
                if is_new and named not in KNOWN | ELSEWHERE:
                    found.append((named, value))
    return found


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import asyncio

    path = tmp_path_factory.mktemp("plans") / "store.db"
    asyncio.run(schema.migrate(f"sqlite+aiosqlite:///{path}"))
    return path


def plan(file: Path, statement: Prepared) -> list[str]:
    """SQLite's plan, a line a step."""
    sql = statement.text(sqlite=True).sql
    with sqlite3.connect(file) as conn:
        return [row[3] for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}", [None] * sql.count("?"))]


def scans(file: Path, steps: list[str]) -> list[str]:
    """The steps that read a growing table from one end to the other. An index with a condition has few rows."""
    with sqlite3.connect(file) as conn:
        partial = [
            row[0] for row in conn.execute("SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE%INDEX%WHERE%'")
        ]
    few = re.compile(rf"INDEX ({'|'.join(partial)})\b")
    return [step for step in steps if re.match(rf"SCAN ({'|'.join(GROWS)})\b", step) and not few.search(step)]


def test_there_is_something_to_look_at() -> None:
    assert len(hot()) > 30


@pytest.mark.parametrize(("name", "statement"), hot(), ids=[name for name, _ in hot()])
def test_no_statement_reads_a_whole_table(file: Path, name: str, statement: Prepared) -> None:
    assert scans(file, plan(file, statement)) == []


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("ready_batches.next_ready", "ix_batch_ready"),
        ("ready_batches.next_first", "ix_batch_begins"),
        ("ready_batches.others_begin", "ix_batch_begins"),
        ("fairness._ready_to_begin", "ix_batch_begins"),
    ],
)
def test_what_is_to_be_sent_next_is_found_by_the_index_of_its_kind(file: Path, name: str, index: str) -> None:
    """Thousands of batches may be ready; of those that begin their campaign there are few."""
    room, _, statement = name.partition(".")
    found = getattr(importlib.import_module(f"store.outbox.{room}"), statement)
    steps = plan(file, found if isinstance(found, Prepared) else Prepared(found))
    assert any(re.search(rf"USING (COVERING )?INDEX {index}\b", step) for step in steps), steps
