"""A small house for tests: zones, members, accounts with keys, and campaigns whose deliveries go where a test says."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import sqlalchemy as sa

from channels.contract import Channel
from gateway.access.keys import hashed
from gateway.directory.audience import CHANNELS, Audience, Covered, Deliveries, Excluded, SkippedChannel
from gateway.directory.reasons import ExclusionReason
from store.access import accounts
from store.access.accounts import AccountRecord, KeyRecord, RightRow
from store.campaigns import launching
from store.campaigns.launching import Launch, ZoneRefusal
from store.engine.database import Database
from store.engine.transaction import Transaction
from store.outbox import expansion
from store.outbox.expansion import AudienceEntry
from store.outbox.records import NewAlert, NewCampaign, NewText, Settlement
from store.outbox.settling import apply
from store.states import DeliveryEvent
from store.tables import address, contact, member, zone

SECRET = "s3cretS3cretS3cretS3cret_-x"
PRICES = {Channel.SMS: 55, Channel.EMAIL: 0, Channel.VOICE: 55}


def bearer(key_id: str) -> dict[str, str]:
    return {"Authorization": f"Bearer tocsin_{key_id}_{SECRET}"}


@dataclass
class House:
    database: Database
    zones: dict[str, int] = field(default_factory=dict)
    contacts: dict[tuple[int, Channel], tuple[int, int]] = field(default_factory=dict)
    """(member, channel) -> (contact id, address id)."""
    members: list[int] = field(default_factory=list)

    async def zone(self, code: str) -> int:
        async def work(tx: Transaction) -> int:
            values = {"code": code, "name": f"Zone {code}", "convention": 2, "policy": "{}"}
            return int((await tx.conn.execute(sa.insert(zone).values(values).returning(zone.c.id))).scalar_one())

        self.zones[code] = await self.database.write(work)
        return self.zones[code]

    async def account(self, code: str, *rights: tuple[str, str | None], type_: str = "officer") -> int:
        """Its key's id is its code. A right is (action, zone code or None)."""
        rows = frozenset(RightRow(action, self.zones[z] if z else None, None) for action, z in rights)
        record = AccountRecord(
            code, code.title(), type_, "[]", "[]", rows, (KeyRecord(code, hashed(SECRET)),)
        )  # fmt: skip
        account_id, _ = await self.database.write(lambda tx: accounts.put_account(tx, record))
        return account_id

    async def people(self, zone_code: str, n: int) -> list[int]:
        """Members with a mobile, a landline and a mailbox each; ids ascending."""

        async def work(tx: Transaction) -> list[int]:
            first = len(self.members) + 1
            ids = list(range(first, first + n))
            kinds = ((Channel.SMS, "mobile", "+324750{:05}"), (Channel.EMAIL, "email", "p{}@example.org"),
                     (Channel.VOICE, "landline", "+32210{:05}"))  # fmt: skip
            await tx.conn.execute(
                sa.insert(member),
                [
                    {"id": i, "zone_id": self.zones[zone_code], "public_id": f"m{i}", "reference": f"r{i}",
                     "name": f"Person {i}", "language": "nl"}
                    for i in ids
                ],
            )  # fmt: skip
            for place, (channel, kind, form) in enumerate(kinds):
                key = [i * 3 + place for i in ids]
                values = [form.format(i) for i in ids]
                await tx.conn.execute(
                    sa.insert(address), [{"id": k, "value": v} for k, v in zip(key, values, strict=True)]
                )
                await tx.conn.execute(
                    sa.insert(contact),
                    [
                        {"id": k, "member_id": i, "address_id": k, "type": kind, "value": v, "from_ms": 0}
                        for k, i, v in zip(key, ids, values, strict=True)
                    ],
                )
                for k, i in zip(key, ids, strict=True):
                    self.contacts[i, channel] = (k, k)
            return ids

        ids = await self.database.write(work)
        self.members += ids
        return ids

    def audience(
        self,
        wanted: Mapping[Channel, Sequence[int]],
        *,
        excluded: Sequence[int] = (),
        covered: Sequence[tuple[int, Channel, int]] = (),
        covered_elsewhere: Sequence[tuple[int, Channel]] = (),
    ) -> Audience:
        """`covered`: (member, channel, the member whose delivery covers them). Whoever else is included and lacks a
        channel is skipped there."""
        channels = tuple(c for c in CHANNELS if c in wanted)
        cover = [(m, c, self.contacts[by, c], ExclusionReason.SAME_ADDRESS) for m, c, by in covered]
        cover += [(m, c, self.contacts[m, c], ExclusionReason.OTHER_ZONE) for m, c in covered_elsewhere]
        included = sorted({m for ms in wanted.values() for m in ms} | {m for m, *_ in cover})
        has = {(m, c) for c, ms in wanted.items() for m in ms} | {(m, c) for m, c, *_ in cover}
        skipped = [(m, c) for m in (*included, *excluded) for c in channels if (m, c) not in has]
        return Audience(
            len(included) + len(excluded),
            ("nl",),
            channels,
            {c: self._deliveries(c, sorted(wanted[c])) for c in channels},
            Excluded(_ids(excluded), _small([ExclusionReason.OPTED_OUT] * len(excluded))),
            Covered(
                _ids([m for m, *_ in cover]),
                _small([CHANNELS.index(c) for _, c, *_ in cover]),
                _ids([at[0] for *_, at, _ in cover]),
                _ids([at[1] for *_, at, _ in cover]),
                _small([why for *_, why in cover]),
            ),
            SkippedChannel(
                _ids([m for m, _ in skipped]),
                _small([CHANNELS.index(c) for _, c in skipped]),
                _small([ExclusionReason.NO_CONTACT] * len(skipped)),
            ),
        )

    def _deliveries(self, channel: Channel, members: Sequence[int]) -> Deliveries:
        at = [self.contacts[m, channel] for m in members]
        return Deliveries(_ids([a[0] for a in at]), _ids(members), _ids([a[1] for a in at]), _small([0] * len(at)))

    def campaign(
        self, zone_code: str, account_id: int, audience: Audience, name: str, **changes: object
    ) -> NewCampaign:
        now_ms = self.database.clock.now_ms()
        sizes = tuple((c.value, len(audience.deliveries[c])) for c in audience.channels)
        values: dict[str, object] = {
            "public_id": name, "zone_id": self.zones[zone_code], "account_id": account_id, "purpose": "alert",
            "title": f"Title of {name}", "kind": "alert", "mode": "live", "state": "running", "priority": 0,
            "crash_policy": "resend", "weight": 1, "starts_ms": now_ms, "expires_ms": now_ms + 3_600_000,
            "horizon_ms": 86_400_000, "targets": "{}", "counts": "{}",
            "reserved_millieuro": sum(n * PRICES[Channel(c)] for c, n in sizes),
            "texts": tuple(NewText(c.value, "nl", "{}", 1, PRICES[c]) for c in audience.channels),
            "audience": audience.encode(), "sizes": sizes,
        }  # fmt: skip
        return NewCampaign(**(values | changes))  # type: ignore[arg-type]

    async def launch(
        self, account_id: int, *campaigns: NewCampaign, alert: NewAlert | None = None, publish: bool = False,
        publish_until_ms: int | None = None, refusals: tuple[ZoneRefusal, ...] = (),
    ) -> list[int]:  # fmt: skip
        decision = Launch(
            account_id=account_id, alert=alert, campaigns=campaigns, publish=publish,
            publish_until_ms=publish_until_ms, refusals=refusals,
        )  # fmt: skip
        return list((await self.database.write(lambda tx: launching.launch(tx, decision))).campaign_ids)

    async def expand(self, campaign_id: int, audience: Audience, upto: Mapping[Channel, int] | None = None) -> None:
        """Make the rows of an audience, or only the first `upto` of some channels."""
        first = 0
        for channel in audience.channels:
            found = audience.deliveries[channel]
            entries = [
                AudienceEntry(first + n, int(m), int(c), "nl")
                for n, (m, c) in enumerate(zip(found.member_id, found.contact_id, strict=True))
            ]
            first += len(entries)
            some = entries if upto is None else entries[: upto.get(channel, len(entries))]
            await self.database.write(
                lambda tx, w=channel.value, e=some: expansion.expand(tx, campaign_id, w, e, batch_size=500)
            )

    async def settle(
        self, campaign_id: int, *events: tuple[int, DeliveryEvent], code: str = "", carrier: str = "c1"
    ) -> None:
        """(sequence number, what happens to it)."""
        settlements = [Settlement(campaign_id << 24 | seq, event, carrier, code=code) for seq, event in events]
        await self.database.write(lambda tx: apply(tx, settlements))


def an_alert(account_id: int, name: str, document: bytes = b"<alert/>", **changes: object) -> NewAlert:
    values: dict[str, object] = {
        "public_id": name, "sender": "cic@example.org", "identifier": f"id-{name}", "sent_ms": 1_700_000_000_000,
        "status": "Actual", "msg_type": "Alert", "scope": "Public", "document": document,
        "sha256": hashlib.sha256(document).hexdigest(), "account_id": account_id, "expires_ms": None,
        "thread_id": None, "state": "active", "note": "", "references": (),
    }  # fmt: skip
    return NewAlert(**(values | changes))  # type: ignore[arg-type]


def _ids(values: Sequence[int]) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.array(values, np.int64)


def _small(values: Sequence[int]) -> "np.ndarray[tuple[int], np.dtype[np.uint8]]":
    return np.array([int(v) for v in values], np.uint8)


def json_of(value: object) -> object:
    return msgspec.json.decode(msgspec.json.encode(value))
