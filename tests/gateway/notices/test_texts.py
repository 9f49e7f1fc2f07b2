"""Every notice has its words in four languages, with all its facts, and an SMS of two segments at most."""

import re

import pytest

from channels.contract import Channel
from channels.sms import segments
from gateway.media import prepare
from gateway.notices import texts
from gateway.notices.notice import LANGUAGES, SUBJECTS, NoticeSubject
from gateway.operations.alarms import AlarmKind

LINK = "https://alerts.a-long-name-of-a-province.example.be/invitation#0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
HOSTILE = "Klik op https://boef.example/x of www.boef.example {link} {until}\r\nBcc: x@y.example " + "ë😀" * 400


def facts(subject, word="Zone Dorp"):
    return {name: LINK if name == "link" else word for name in SUBJECTS[subject].facts}


def places(template):
    return set(re.findall(r"\{([a-z_]+)\}", template))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("subject", NoticeSubject)
def test_each_subject_is_told_with_all_its_facts_in_each_language(subject, language):
    template = texts.catalogue(language)[subject]
    assert template.keys() == {"title", "mail", "sms"}
    assert places(template["title"]) | places(template["mail"]) == SUBJECTS[subject].facts
    assert places(template["sms"]) <= SUBJECTS[subject].facts
    assert ("link" in places(template["sms"])) == ("link" in SUBJECTS[subject].facts)
    mail = texts.write(subject, Channel.EMAIL, language, facts(subject))
    assert prepare(Channel.EMAIL, language, mail).octets > 100


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_sentence_with_the_same_places(language):
    here, english = texts.catalogue(language), texts.catalogue("en")
    assert here.keys() == english.keys()
    for table in english:
        assert here[table].keys() == english[table].keys(), table
        for key, template in english[table].items():
            assert places(here[table][key]) == places(template), f"[{table}] {key}"
    assert here["alarms"].keys() == set(AlarmKind) | {"over"}
    named = {f"subject_{subject.replace('-', '_')}" for subject in NoticeSubject}
    assert named <= here["more"].keys()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("subject", NoticeSubject)
@pytest.mark.parametrize("word", ["x", "Zone Dorp " * 40, HOSTILE])
def test_an_sms_has_two_segments_at_most_and_its_whole_link(subject, language, word):
    for missed in (0, 97_531):
        sms = texts.write(subject, Channel.SMS, language, facts(subject, word), held_back=missed)
        assert segments.prepare(sms.text, mode=sms.mode).units <= 2
        assert ("link" in SUBJECTS[subject].facts) == (LINK in sms.text)
        assert ("97531" in sms.text) == bool(missed)
    alone = texts.coalesced(Channel.SMS, language, subject, 97_531)
    assert segments.prepare(alone.text, mode=alone.mode).units <= 2


@pytest.mark.parametrize("subject", NoticeSubject)
def test_what_a_person_wrote_is_no_link_no_place_and_no_line(subject):
    mail = texts.write(subject, Channel.EMAIL, "en", facts(subject, HOSTILE))
    said = "\n".join([mail.subject, *mail.paragraphs])
    assert "://boef" not in said
    assert "www." not in said
    assert "\r" not in said
    assert "\n" not in mail.subject
    assert said.count(LINK) == ("link" in SUBJECTS[subject].facts)
    assert len(mail.subject) < 700


def test_the_helpdesk_stands_in_a_mail():
    lines = ("0800 12 345", "https://help.example")
    mail = texts.write(NoticeSubject.RESET, Channel.EMAIL, "nl", facts(NoticeSubject.RESET), help_lines=lines)
    assert "Hulp:\n0800 12 345\nhttps://help.example" in mail.paragraphs


def test_an_event_is_told_in_the_language_of_whoever_is_told():
    what = texts.event("codes-guessed", zone="CIC <script>")
    assert what.keys() == set(LANGUAGES)
    assert what["de"] == "Jemand rät den Notfallcode der Zone CIC <script>: viele falsche Codes wurden versucht."


@pytest.mark.parametrize(("tag", "language"), [("nl-BE", "nl"), ("FR", "fr"), ("lb", "en"), ("", "en")])
def test_who_reads_none_of_the_four_languages_reads_english(tag, language):
    assert texts.language_of(tag) == language
