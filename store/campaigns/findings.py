"""What was found of an alert when it came: version, signature, warnings, envelope. One row beside the alert's own.

Knows no rule and no certificate: texts as they are to be shown again.
"""

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.engine.prepared_statement import Prepared
from store.engine.transaction import Transaction, rows_of
from store.tables import alert_finding


class AlertFinding(msgspec.Struct, frozen=True, kw_only=True):
    version: str
    """Of CAP, as it was sent: "1.2"."""
    signature: str
    """verified, unverifiable, absent, unchecked."""
    reason: str = ""
    signer: str = ""
    certificate: str = ""
    """SHA-256 of the certificate whose key signed, hexadecimal."""
    warnings: str = "[]"
    """JSON."""
    envelope_name: str = ""
    """Of the EDXL-DE envelope it came in; empty when it came by itself."""


_NAMES = AlertFinding.__struct_fields__
_add = Prepared(sa.insert(alert_finding).values({n: sa.bindparam(n) for n in (*_NAMES, "alert_id", "envelope")}))
_of_alert = alert_finding.c.alert_id == sa.bindparam("alert")
_finding = Prepared(sa.select(*(alert_finding.c[name] for name in _NAMES)).where(_of_alert))
_envelope = Prepared(sa.select(alert_finding.c.envelope).where(_of_alert))


async def file_finding(tx: Transaction, alert_id: int, finding: AlertFinding, envelope: bytes | None) -> None:
    """Keeps what was found of an alert, in the transaction that files it. `envelope` is what it came in, byte for
    byte."""
    values = msgspec.structs.asdict(finding) | {"alert_id": alert_id, "envelope": envelope}
    await tx.run(_add, values)


async def finding_of(conn: AsyncConnection, alert_id: int) -> AlertFinding | None:
    """What was found of an alert; None for alerts of before there were findings."""
    rows = await rows_of(conn, _finding, {"alert": alert_id})
    return AlertFinding(**dict(zip(_NAMES, rows[0], strict=True))) if rows else None


async def envelope_of(conn: AsyncConnection, alert_id: int) -> bytes | None:
    rows = await rows_of(conn, _envelope, {"alert": alert_id})
    return bytes(rows[0].envelope) if rows and rows[0].envelope is not None else None
