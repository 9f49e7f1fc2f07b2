"""Before a carrier: each message is given to it shortly before its slot, as far as it has room; one outcome each."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from channels import slots as slots_module
from channels.contract import (
    Accepted,
    CarrierState,
    CarrierStatus,
    Channel,
    InDoubt,
    Mode,
    NoLimits,
    NotSent,
    Outcome,
    Outgoing,
    Permission,
    ReceiptSink,
    Told,
    Withdraw,
)
from channels.permissions import ENDED
from channels.slots import AHEAD_S, CALLED_BACK, MISSED, SlotKeeper
from channels.sms.segments import prepare
from tests.channels.conformance import now, until

TEXT = prepare("Alerte")
GUARD_S = 0.05


@dataclass
class Desk:
    """A carrier that keeps what it is given, and answers when a test says so."""

    window: int = 100
    name: str = "desk"
    channel: Channel = Channel.SMS
    mode: Mode = Mode.LIVE
    limits: NoLimits = field(default_factory=NoLimits)
    given: list[tuple[float, Outgoing, Callable[[Outcome], None]]] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    withdrawn: int = 0
    open: int = 0

    @property
    def room(self) -> int:
        return max(0, self.window - self.open)

    def status(self) -> CarrierStatus:
        return CarrierStatus(self.name, self.channel, self.mode, CarrierState.UP, "", self.open, self.window, 0)

    def send(self, group: Sequence[Outgoing], told: Told) -> Withdraw:
        self.groups.append(len(group))
        for index, message in enumerate(group):
            self.open += len(message.due)

            def answer(outcome: Outcome, index: int = index, units: int = len(message.due)) -> None:
                self.open -= units
                told(index, outcome)

            self.given.append((now(), message, answer))

        def withdraw() -> None:
            self.withdrawn += 1

        return withdraw

    async def run(self, receipts: ReceiptSink) -> None:
        await asyncio.Event().wait()


def message(n: int, *due: float, permission: Permission | None = None) -> Outgoing:
    return Outgoing(f"t.{n}", f"+3247{n:07}", "", TEXT, due, permission=permission)


class Heard:
    """What is told."""

    def __init__(self) -> None:
        self.outcomes: dict[int, Outcome] = {}

    def __call__(self, index: int, outcome: Outcome) -> None:
        assert index not in self.outcomes, "one outcome each"
        self.outcomes[index] = outcome


async def test_each_is_given_shortly_before_its_slot_and_those_of_one_look_together() -> None:
    desk, heard = Desk(), Heard()
    slots = SlotKeeper(desk, GUARD_S)
    start = now() + 0.1
    group = [message(n, start + n * 0.002) for n in range(50)]

    slots.hand_over(group, heard)
    await until(lambda: len(desk.given) == 50)

    assert [m for _, m, _ in desk.given] == group
    assert all(at >= m.due[0] - AHEAD_S - 0.002 for at, m, _ in desk.given), "none sooner"
    assert len(desk.groups) <= 15, "not one by one"
    assert slots.held == 50
    for _, _, answer in desk.given:
        answer(Accepted())
    assert heard.outcomes == dict.fromkeys(range(50), Accepted())
    assert slots.held == 0


async def test_what_has_no_room_waits_for_an_answer_and_no_longer_than_its_slot_may_be_missed_by() -> None:
    desk, heard = Desk(window=2), Heard()
    guard_s = 0.5
    slots = SlotKeeper(desk, guard_s)
    at = now()
    slots.hand_over([message(n, at) for n in range(5)], heard)
    await until(lambda: len(desk.given) == 2)

    desk.given[0][2](Accepted())
    await until(lambda: len(desk.given) == 3)
    assert now() - at < guard_s, "its answer was room"

    await until(lambda: len(heard.outcomes) == 3)
    assert heard.outcomes[3] == heard.outcomes[4] == MISSED
    assert slots.held == 2


async def test_a_message_longer_than_the_window_goes_when_it_goes_alone() -> None:
    desk, heard = Desk(window=2), Heard()
    slots = SlotKeeper(desk, GUARD_S)
    at = now()
    slots.hand_over([message(0, at), message(1, at, at, at)], heard)
    await until(lambda: desk.given)
    await asyncio.sleep(0)
    assert len(desk.given) == 1

    desk.given[0][2](Accepted())
    await until(lambda: len(desk.given) == 2)
    assert desk.given[1][1].address == message(1, at).address


async def test_windows_of_several_batches_share_the_way_and_hear_their_own() -> None:
    desk, one, other = Desk(), Heard(), Heard()
    slots = SlotKeeper(desk, GUARD_S)
    at = now() + 0.05
    slots.hand_over([message(n, at + n * 0.01) for n in (0, 2, 4)], one)
    slots.hand_over([message(n, at + n * 0.01) for n in (1, 3)], other)
    await until(lambda: len(desk.given) == 5)

    assert [m.reference for _, m, _ in desk.given] == [f"t.{n}" for n in range(5)]
    for _, m, answer in desk.given:
        answer(Accepted((m.reference,)))
    assert one.outcomes == {0: Accepted(("t.0",)), 1: Accepted(("t.2",)), 2: Accepted(("t.4",))}
    assert other.outcomes == {0: Accepted(("t.1",)), 1: Accepted(("t.3",))}


async def test_what_is_called_back_is_not_given_any_more_and_the_others_are() -> None:
    desk, heard = Desk(), Heard()
    slots = SlotKeeper(desk, GUARD_S)
    at = now() + 0.05
    slots.hand_over([message(n, at) for n in range(4)], heard, ["nl", "fr", "nl", "fr"])

    slots.call_back({"fr"})

    assert heard.outcomes == {1: CALLED_BACK, 3: CALLED_BACK}
    await until(lambda: len(desk.given) == 2)
    assert slots.held == 2


async def test_what_may_not_leave_any_more_is_told_when_its_permission_ends_and_not_at_its_slot() -> None:
    desk, heard = Desk(), Heard()
    slots = SlotKeeper(desk, GUARD_S)
    permission = Permission(now() + 0.05)
    slots.hand_over([message(n, now() + 60, permission=permission) for n in range(3)], heard)

    await until(lambda: len(heard.outcomes) == 3)

    assert set(heard.outcomes.values()) == {ENDED}
    assert not desk.given
    assert slots.held == 0


async def test_of_what_is_withdrawn_nothing_more_is_given_and_nothing_told() -> None:
    desk, heard, other = Desk(), Heard(), Heard()
    slots = SlotKeeper(desk, GUARD_S)
    withdraw = slots.hand_over([message(0, now()), message(1, now() + 0.1)], heard)
    slots.hand_over([message(2, now() + 0.1)], other)
    await until(lambda: len(desk.given) == 1)

    withdraw()
    withdraw()

    assert desk.withdrawn == 1
    assert slots.held == 1
    await until(lambda: len(desk.given) == 2)
    assert desk.given[1][1].reference == "t.2"
    assert not heard.outcomes


async def test_a_message_that_the_carrier_forgets_is_in_doubt_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots_module, "FORGOTTEN_S", 0.1)
    monkeypatch.setattr(slots_module, "_LOOK_FOR_FORGOTTEN_S", 0.02)
    desk, heard = Desk(), Heard()
    slots = SlotKeeper(desk, GUARD_S)
    slots.hand_over([message(0, now()), message(1, now())], heard)
    await until(lambda: len(desk.given) == 2)
    desk.given[1][2](NotSent("no"))

    await until(lambda: len(heard.outcomes) == 2)

    assert isinstance(heard.outcomes[0], InDoubt)
    assert heard.outcomes[1] == NotSent("no")
    assert slots.held == 0


async def test_a_carrier_that_cannot_say_what_room_it_has_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots_module, "_BROKEN_S", 0.02)

    class Broken(Desk):
        asked = 0

        @property
        def room(self) -> int:
            self.asked += 1
            if self.asked < 3:
                raise RuntimeError("a bug")
            return super().room

    desk, heard = Broken(), Heard()
    SlotKeeper(desk, 5.0).hand_over([message(0, now())], heard)

    await until(lambda: desk.given)
