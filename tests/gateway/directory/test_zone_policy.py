"""A zone's policy and a sender's rules: defaults for what is left out, refusal of what is not known."""

import msgspec
import pytest

from channels.contract import Channel
from gateway.directory.senders import EventCode, KindRule, read_kind_rules, write_kind_rules
from gateway.directory.zone_policy import AreaMode, PolicyRefused, ZonePolicy, read_policy, write_policy
from gateway.help_lines import HelpDocument, HelpLine, ZoneHelp
from gateway.kinds import Kind


def test_a_zone_that_has_decided_nothing_has_the_defaults():
    assert read_policy("") == read_policy("{}") == ZonePolicy()
    assert write_policy(ZonePolicy()) == "{}"


def test_news_and_information_go_by_the_free_channel_unless_the_zone_decides_otherwise():
    assert ZonePolicy().channels(Kind.ALERT) == (Channel.SMS, Channel.EMAIL, Channel.VOICE)
    assert ZonePolicy().channels(Kind.NEWS) == (Channel.EMAIL,)
    assert read_policy('{"news_channels": ["sms"]}').channels(Kind.NEWS) == (Channel.SMS,)


def test_a_policy_survives_being_written():
    line = HelpLine(name="PZ Example", phone="069 00 00 00")
    policy = ZonePolicy(
        area_mode=AreaMode.MEMBERS, sms_segment_ceiling=5, allow_whole_zone=False, course_within_days=365,
        help=ZoneHelp(technical=line, documents={"local": HelpDocument({"nl": "Afspraken"}, url="https://a.be")}),
    )  # fmt: skip

    assert read_policy(write_policy(policy)) == policy


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{"area_mode": "streets"}', "area_mode"),
        ('{"alert_channels": ["fax"]}', "alert_channels"),
        ('{"sms_segment_ceiling": 0}', "sms_segment_ceiling"),
        ('{"language_fallback": ["French"]}', "language_fallback"),
        ('{"colour": "red"}', "colour"),
        ('{"course_within_days": -1}', "course_within_days"),
        ('{"help": {"technical": {"phone": "call us"}}}', "help.technical.phone"),
        ('{"help": {"documents": {"m": {"file": "/etc/passwd"}}}}', "file"),
        ("{", "truncated"),
    ],
)
def test_a_policy_that_cannot_be_read_is_refused_with_its_path(text, where):
    with pytest.raises(PolicyRefused, match=where):
        read_policy(text)


def test_the_rules_of_a_sender_keep_their_order_and_speak_the_words_of_cap():
    rules = (
        KindRule(Kind.ALERT, urgency=("Immediate",), event_code=EventCode("OASIS", "FIR")),
        KindRule(Kind.INFO),
    )

    text = write_kind_rules(rules)

    assert msgspec.json.decode(text) == [
        {"kind": "alert", "urgency": ["Immediate"], "eventCode": {"valueName": "OASIS", "value": "FIR"}},
        {"kind": "info"},
    ]
    assert read_kind_rules(text) == rules


def test_a_rule_to_a_kind_that_does_not_exist_is_refused():
    with pytest.raises(msgspec.ValidationError):
        read_kind_rules('[{"kind": "urgent"}]')
