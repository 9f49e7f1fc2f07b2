"""Rights as the API speaks of them, with codes of zones and networks, and as the store keeps them, with ids."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.directory.seed_lines import RightLine, shape_fault
from gateway.errors import Reason
from gateway.fault_words import NAMES
from store.access.accounts import RightRow
from store.engine.transaction import Connection
from store.register import reading as register

_SHAPE = "Leave out network, kind, channel and mode as far as that takes them."


@dataclass(frozen=True, slots=True)
class Places:
    """The zones and networks that rights are for, by code and by id."""

    zones: Mapping[str, int]
    networks: Mapping[tuple[int, str], int]

    def zone(self, zone_id: int) -> str:
        return next((code for code, id_ in self.zones.items() if id_ == zone_id), "?")

    def network(self, network_id: int) -> str:
        return next((code for (_, code), id_ in self.networks.items() if id_ == network_id), "?")

    def line(self, row: RightRow) -> RightLine:
        """A right as it is shown."""
        return RightLine(
            action=row.action,  # type: ignore[arg-type]  # what is kept was one of them when it was given
            zone=None if row.zone_id is None else self.zone(row.zone_id),
            network=None if row.network_id is None else self.network(row.network_id),
            kind=row.kind,  # type: ignore[arg-type]
            channel=row.channel,  # type: ignore[arg-type]
            mode=row.mode,  # type: ignore[arg-type]
        )

    def row(self, line: RightLine) -> RightRow:
        """A right as it is kept. Its codes are there (`faults`)."""
        zone_id = None if line.zone is None else self.zones[line.zone]
        network_id = None if line.network is None or zone_id is None else self.networks[zone_id, line.network]
        return RightRow(line.action, zone_id, network_id, line.kind, line.channel, line.mode)

    def faults(self, lines: Sequence[RightLine], visible: frozenset[int] | None) -> Iterator[Reason]:
        """What is wrong with rights that are asked for. `visible`: the zones of whoever asks; the others do not exist
        for him; None: all are his."""
        for index, line in enumerate(lines):
            path = f"/rights/{index}"
            zone_id = None if line.zone is None else self.zones.get(line.zone)
            hidden = zone_id is None or (visible is not None and zone_id not in visible)
            if line.zone is not None and hidden:
                yield _nowhere(f"{path}/zone", line.zone)
            elif line.network is not None and (zone_id is None or (zone_id, line.network) not in self.networks):
                yield _nowhere(f"{path}/network", line.network)
            elif (wrong := shape_fault(line)) is not None:
                yield Reason("A-SHAPE", f"{wrong[:1].upper()}{wrong[1:]}.", pointer=path, remedy=_SHAPE)


def _nowhere(pointer: str, name: str) -> Reason:
    text, remedy = NAMES["not-there"]
    return Reason(
        "JSON",
        f"{text.format(name)[:1].upper()}{text.format(name)[1:]}.",
        pointer=pointer,
        value=name,
        remedy=remedy,
        cause="not-there",
        facts=(name,),
    )


async def places(conn: Connection, zone_ids: Iterable[int | None] | None) -> Places:
    """Those of these zones; None: of all."""
    zones = {zone.code: zone.id for zone in await register.zones(conn)}
    wanted = None if zone_ids is None else {zone_id for zone_id in zone_ids if zone_id is not None}
    zones = {code: id_ for code, id_ in zones.items() if wanted is None or id_ in wanted}
    networks = {
        (found.zone_id, found.code): found.id for found in await register.networks(conn, sorted(zones.values()))
    }
    return Places(zones, networks)
