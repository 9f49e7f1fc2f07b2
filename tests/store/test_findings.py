"""What was found of an alert is kept beside it, with the envelope byte for byte, and goes with it."""

from store.campaigns import alerts
from store.campaigns.findings import AlertFinding, envelope_of, file_finding, finding_of
from store.campaigns.launching import Launch, launch
from tests.store.makers import an_account, an_alert

FINDING = AlertFinding(
    version="1.1",
    signature="verified",
    signer="cic.example",
    certificate="ab" * 32,
    warnings='[{"rule":"NS-OLD","text":"x"}]',
    envelope_name="EDXL-DE 1.0",
)


async def filed(database, finding=FINDING, envelope=b"\x00<edxl/>\xff", state="active"):
    account_id = await an_account(database)

    async def work(tx):
        made = await launch(tx, Launch(account_id=account_id, alert=an_alert(account_id, state=state), campaigns=()))
        if finding is not None:
            await file_finding(tx, made.alert_id, finding, envelope)
        return made.alert_id

    return await database.write(work)


async def found(database, alert_id):
    async with database.read() as conn:
        return await finding_of(conn, alert_id), await envelope_of(conn, alert_id)


async def test_a_finding_and_its_envelope_come_back_as_they_were_filed(database):
    alert_id = await filed(database)

    assert await found(database, alert_id) == (FINDING, b"\x00<edxl/>\xff")


async def test_an_alert_that_came_by_itself_has_no_envelope_and_one_of_before_no_finding(database):
    assert await found(database, await filed(database, envelope=None)) == (FINDING, None)


async def test_an_alert_of_before_there_were_findings_has_none(database):
    assert await found(database, await filed(database, finding=None)) == (None, None)


async def test_a_parked_alert_that_is_taken_out_takes_its_finding_along(database):
    alert_id = await filed(database, state="parked")

    await database.write(lambda tx: alerts.remove_parked(tx, alert_id))

    assert await found(database, alert_id) == (None, None)
