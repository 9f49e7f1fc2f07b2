"""The judge of the load test, given what must not happen: it has to say so."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from loadtest.accounting import Accounting, CampaignAccount, Disagreements
from loadtest.arrivals import Arrivals

NUMBER = 7
"""The store's own number of the campaign."""
MARK = "NR0000CAFE"
AN, BO = "+32470000001", "+32470000002"
BOX = "an@example.org"


@dataclass
class World:
    """What is at the sinks, and what the gateway's pages say."""

    sms: dict[tuple[str, str], int] = field(default_factory=dict)
    email: dict[tuple[int, str], int] = field(default_factory=dict)
    voice: dict[tuple[int, str], int] = field(default_factory=dict)
    pages: list[dict[str, Any]] = field(default_factory=list)
    texts: tuple[str, ...] = (f"{MARK} wegenwerken. Maandag om zeven uur.",)
    resent: bool = False
    report: dict[str, Any] | None = None

    def judged(self) -> Disagreements:
        sms, email, voice = (Arrivals(np.empty(0)) for _ in range(3))
        sms.by_address.update(self.sms)
        email.by_delivery.update(self.email)
        voice.by_delivery.update(self.voice)
        accounting = Accounting(sms, email, voice)
        account = accounting.campaign(NUMBER, page(*self.texts))
        for line in self.pages:
            account.delivery(line, resent=self.resent)
        account.report(self.report or report_of(self.pages))
        return accounting.close()


def page(*texts: str) -> dict[str, Any]:
    return {"title": f"{MARK} wegenwerken", "texts": [{"channel": "sms", "content": {"text": t}} for t in texts]}


def told(state: str, address: str = AN, *, number: int = 1, channel: str = "sms", attempts: int = 1) -> dict[str, Any]:
    return {"id": number, "channel": channel, "address": address, "state": state, "attempts": attempts}


def report_of(pages: list[dict[str, Any]], *, closes: bool = True) -> dict[str, Any]:
    lines = [{"channel": line["channel"], "state": line["state"], "deliveries": 1} for line in pages]
    return {"sums_close": closes, "deliveries": lines}


def delivery(number: int) -> int:
    return (NUMBER << 24) + number - 1


def test_what_was_told_and_arrived_once_is_accounted_for() -> None:
    world = World(
        sms={(MARK, AN): 1},
        email={(delivery(2), BOX): 1},
        pages=[told("delivered"), told("accepted", BOX, number=2, channel="email"), told("cancelled", BO, attempts=0)],
    )

    findings = world.judged()

    assert findings.unaccounted == 0
    assert findings.deliveries == 3
    assert findings.states == {"sms delivered": 1, "email accepted": 1, "sms cancelled": 1}
    assert findings.examples == []


@pytest.mark.parametrize("state", ["accepted", "delivered"])
def test_a_message_told_as_taken_that_no_sink_has_is_lost(state: str) -> None:
    findings = World(pages=[told(state)]).judged()

    assert (findings.missing, findings.unaccounted) == (1, 1)
    assert "no sink has it" in findings.examples[0]


@pytest.mark.parametrize("resent", [False, True])
def test_a_message_that_arrived_more_often_than_it_was_tried_is_doubled(resent: bool) -> None:
    findings = World(sms={(MARK, AN): 2}, pages=[told("delivered", attempts=1)], resent=resent).judged()

    assert (findings.doubled, findings.unaccounted) == (1, 1)


def test_a_second_attempt_without_a_word_of_doubt_is_a_double_all_the_same() -> None:
    findings = World(sms={(MARK, AN): 2}, pages=[told("delivered", attempts=2)]).judged()

    assert (findings.doubled, findings.again) == (1, 0)


def test_what_was_told_as_sent_again_after_doubt_is_counted_apart() -> None:
    findings = World(sms={(MARK, AN): 2}, pages=[told("delivered", attempts=2)], resent=True).judged()

    assert (findings.doubled, findings.again, findings.unaccounted) == (0, 1, 0)


@pytest.mark.parametrize(("attempts", "called_again", "doubled"), [(2, 1, 0), (1, 0, 1)])
def test_who_was_busy_is_called_again_and_that_is_no_doubt(attempts: int, called_again: int, doubled: int) -> None:
    busy = told("delivered", channel="voice", attempts=attempts)
    findings = World(voice={(delivery(1), AN): 2}, pages=[busy]).judged()

    assert (findings.called_again, findings.again, findings.doubled) == (called_again, 0, doubled)


def test_a_message_at_another_number_is_lost_to_one_and_nobodys_at_the_other() -> None:
    findings = World(sms={(MARK, BO): 1}, pages=[told("delivered", AN)]).judged()

    assert (findings.missing, findings.never_told) == (1, 1)


def test_a_mail_with_the_right_reference_in_another_mailbox_is_wrongly_delivered() -> None:
    world = World(email={(delivery(1), "bo@example.org"): 1}, pages=[told("accepted", BOX, channel="email")])

    findings = world.judged()

    assert (findings.missing, findings.never_told) == (1, 1)


def test_a_message_of_no_campaign_is_nobodys() -> None:
    findings = World(sms={("NR0BADBAD0", AN): 3}).judged()

    assert findings.never_told == 3
    assert "nobody's" in findings.examples[0]


def test_a_message_told_as_never_tried_that_arrived_is_a_finding() -> None:
    findings = World(sms={(MARK, AN): 1}, pages=[told("cancelled", attempts=0)]).judged()

    assert findings.never_told == 1


def test_a_message_without_mark_or_reference_is_a_finding() -> None:
    strange = Arrivals(np.empty(0), strange=2)

    assert Accounting(strange, Arrivals(np.empty(0)), Arrivals(np.empty(0))).close().unaccounted == 2


def test_what_is_still_open_and_what_is_in_doubt_are_told_apart() -> None:
    findings = World(
        pages=[told("queued", attempts=0), told("retry", BO, number=2), told("unknown", BOX, number=3, channel="email")]
    ).judged()

    assert (findings.unfinished, findings.in_doubt, findings.unaccounted) == (2, 1, 0)


def test_a_report_that_counts_otherwise_than_its_pages_is_a_finding() -> None:
    pages = [told("delivered")]
    for report in (report_of(pages, closes=False), report_of([]), report_of([told("accepted")])):
        findings = World(sms={(MARK, AN): 1}, pages=pages, report=report).judged()

        assert (findings.reports_off, findings.unaccounted) == (1, 1)


def test_a_cancel_is_not_taken_for_what_it_cancels_though_it_bears_its_mark() -> None:
    alert_head, cancel_head = MARK, f"Geannuleerd: {MARK}"
    sms = Arrivals(np.empty(0))
    sms.by_address.update({(alert_head, AN): 1, (cancel_head, AN): 1})
    accounting = Accounting(sms, Arrivals(np.empty(0)), Arrivals(np.empty(0)))
    accounts: list[CampaignAccount] = []
    for number, head in ((NUMBER, alert_head), (NUMBER + 1, cancel_head)):
        account = accounting.campaign(number, page(f"{head} wegenwerken"))
        account.delivery(told("delivered"))
        account.report(report_of([told("delivered")]))
        accounts.append(account)

    assert accounting.close().unaccounted == 0


def test_a_cancel_that_never_arrived_is_not_excused_by_the_alert_that_did() -> None:
    sms = Arrivals(np.empty(0))
    sms.by_address.update({(MARK, AN): 2})
    accounting = Accounting(sms, Arrivals(np.empty(0)), Arrivals(np.empty(0)))
    for number, head in ((NUMBER, MARK), (NUMBER + 1, f"Geannuleerd: {MARK}")):
        accounting.campaign(number, page(f"{head} wegenwerken")).delivery(told("delivered"))

    findings = accounting.close()

    assert (findings.doubled, findings.missing) == (1, 1)


def test_a_campaign_in_two_languages_reaches_each_number_once() -> None:
    texts = (f"{MARK} wegenwerken", f"Mise à jour: {MARK} travaux")
    one_each = World(
        sms={(MARK, AN): 1, (f"Mise à jour: {MARK}", BO): 1},
        pages=[told("delivered"), told("delivered", BO, number=2)],
        texts=texts,
    )
    both_to_one = World(sms={(MARK, AN): 1, (f"Mise à jour: {MARK}", AN): 1}, pages=[told("delivered")], texts=texts)

    assert one_each.judged().unaccounted == 0
    assert both_to_one.judged().doubled == 1


def test_findings_of_several_gateways_add_up() -> None:
    lost, doubled = World(pages=[told("delivered")]), World(sms={(MARK, AN): 2}, pages=[told("delivered")])
    both = lost.judged()

    both += doubled.judged()

    assert (both.missing, both.doubled, both.deliveries, both.campaigns) == (1, 1, 2, 2)
    assert both.states == {"sms delivered": 2}
    assert len(both.examples) == 2
