"""What an SMSC has against us, told from what it has against a recipient."""

from channels.sms.smpp.complaints import PUT_OFF_IN_A_ROW, Complaints
from channels.sms.smpp.settings import SmppSettings
from channels.sms.smpp.statuses import StatusVerdict

SETTINGS = SmppSettings(host="127.0.0.1", port=1, system_id="a", source_address="PLP", throttle_first_s=2.0)


def number(n: int) -> bytes:
    return b"3247%07d" % n


def test_one_recipient_that_is_put_off_again_and_again_says_nothing_of_the_smsc() -> None:
    complaints = Complaints(SETTINGS)
    judged = {complaints.judged(number(1), StatusVerdict.TEMPORARY) for _ in range(50)}
    assert judged == {StatusVerdict.TEMPORARY}
    assert not complaints.grievance


def test_several_that_are_put_off_in_a_row_are_no_coincidence_and_one_that_is_taken_ends_the_row() -> None:
    complaints = Complaints(SETTINGS)
    for n in range(PUT_OFF_IN_A_ROW - 1):
        assert complaints.judged(number(n), StatusVerdict.TEMPORARY) is StatusVerdict.TEMPORARY
    assert complaints.judged(number(90), StatusVerdict.TAKEN) is StatusVerdict.TAKEN
    for n in range(PUT_OFF_IN_A_ROW - 1):
        assert complaints.judged(number(n), StatusVerdict.TEMPORARY) is StatusVerdict.TEMPORARY
    assert complaints.judged(number(91), StatusVerdict.TEMPORARY) is StatusVerdict.OURS


def test_what_it_has_against_us_is_told_and_rests_it_until_it_takes_something() -> None:
    complaints = Complaints(SETTINGS)
    complaints.refused(0x45, 10.0, written=9.9)
    assert "0x45" in complaints.grievance or "45" in complaints.grievance
    assert complaints.rests_until == complaints.refuses_until > 10.0
    assert complaints.judged(number(1), StatusVerdict.TEMPORARY) is StatusVerdict.OURS, "nobody is put off meanwhile"

    complaints.judged(number(1), StatusVerdict.TAKEN)
    assert complaints.grievance == ""


def test_a_slower_pace_is_a_rest_of_its_own_and_no_grievance() -> None:
    complaints = Complaints(SETTINGS)
    assert complaints.throttled(10.0, written=9.9) == 2.0
    assert (complaints.rests_until, complaints.paced_until) == (12.0, 12.0)
    assert complaints.refuses_until < 10.0
    assert not complaints.grievance
