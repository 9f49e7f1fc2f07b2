"""Who acts for another account, and as what."""

import pytest

from gateway.access.keys import as_caller
from gateway.access.on_behalf import acting_for, require_may
from gateway.errors import Refusal
from store.access.accounts import KeyRow, RightRow

OPERATOR_ID, NAMED_ID, NETWORK = 3, 7, 5


def a_row(account_id: int, *rights: RightRow, type_: str = "coordinator", **changes: object) -> KeyRow:
    values: dict[str, object] = {
        "key_id": "k", "secret_sha256": "", "revoked_ms": None, "account_id": account_id, "code": f"code{account_id}",
        "name": "Name", "type": type_, "senders": '["cic@example.org"]', "kind_rules": "[]", "disabled_ms": None,
        "rights": rights,
    }  # fmt: skip
    return KeyRow(**(values | changes))  # type: ignore[arg-type]


OPERATOR = as_caller(
    a_row(OPERATOR_ID, RightRow("administer", None, None), RightRow("stop", None, None), type_="operator")
)
NAMED = a_row(NAMED_ID, RightRow("stop", 1, NETWORK))


def test_the_rights_are_those_of_the_named_account_and_the_name_is_the_operators():
    acting = acting_for(OPERATOR, NAMED)

    assert (acting.account_id, acting.code, acting.behalf_id, acting.type) == (3, "code3", 7, "coordinator")
    assert (acting.actor.account_id, acting.actor.behalf_id) == (3, 7)
    assert acting.rights == as_caller(NAMED).rights
    assert acting.senders == ()


def test_what_the_named_account_decided_is_its_own_also_by_the_operators_hand():
    """Who has rights in some networks only reaches what he decided himself."""
    acting = acting_for(OPERATOR, NAMED)

    may = {by: acting.may("stop", 1, "news", ["sms"], "live", decided_by=by) for by in (NAMED_ID, OPERATOR_ID, 9)}

    assert may == {NAMED_ID: True, OPERATOR_ID: False, 9: False}


@pytest.mark.parametrize(
    "named",
    [
        None,
        a_row(NAMED_ID, disabled_ms=1),
        a_row(NAMED_ID, ended_ms=1),
        a_row(NAMED_ID, joined_ms=None),
        a_row(NAMED_ID, type_="operator"),
        a_row(OPERATOR_ID),
    ],
)
def test_nobody_acts_for_who_may_not_come_in_for_an_operator_or_for_himself(named: KeyRow | None):
    with pytest.raises(Refusal) as refused:
        acting_for(OPERATOR, named)

    assert refused.value.code == "no-such-behalf"


@pytest.mark.parametrize(
    "row",
    [
        a_row(1, RightRow("administer", None, None), type_="administrator"),
        a_row(1, RightRow("administer", 1, None), type_="operator"),
        a_row(1, RightRow("operate", None, None), RightRow("read", None, None), type_="operator"),
        a_row(1, RightRow("administer", None, None), type_="operator", key_id="test-k"),
    ],
)
def test_it_takes_an_operator_who_administers_every_zone(row: KeyRow):
    with pytest.raises(Refusal):
        require_may(as_caller(row))

    require_may(OPERATOR)
