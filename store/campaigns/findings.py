"""What was found of an alert when it came: version, signature, warnings, envelope. One row beside the alert's own.

Knows no rule and no certificate: texts as they are to be shown again.
"""

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.engine.transaction import Transaction
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
_add = sa.insert(alert_finding)
_of_alert = alert_finding.c.alert_id == sa.bindparam("alert")
_finding = sa.select(*(alert_finding.c[name] for name in _NAMES)).where(_of_alert)
_envelope = sa.select(alert_finding.c.envelope).where(_of_alert)


async def file_finding(tx: Transaction, alert_id: int, finding: AlertFinding, envelope: bytes | None) -> None:
    """Keeps what was found of an alert, in the transaction that files it. `envelope` is what it came in, byte for
    byte."""
    values = msgspec.structs.asdict(finding) | {"alert_id": alert_id, "envelope": envelope}
    await tx.run(_add, values)


async def finding_of(conn: AsyncConnection, alert_id: int) -> AlertFinding | None:
    """What was found of an alert; None for alerts of before there were findings."""
    row = (await conn.execute(_finding, {"alert": alert_id})).first()
    return None if row is None else AlertFinding(**dict(zip(_NAMES, row, strict=True)))


async def envelope_of(conn: AsyncConnection, alert_id: int) -> bytes | None:
    found = (await conn.execute(_envelope, {"alert": alert_id})).scalar_one_or_none()
    return None if found is None else bytes(found)
