"""What an SMSC has against us, and how long its account rests for it. Sans I/O: times are arguments."""

from channels.sms.smpp import statuses
from channels.sms.smpp.pacing import Rest
from channels.sms.smpp.settings import SmppSettings
from channels.sms.smpp.statuses import StatusVerdict

PUT_OFF_IN_A_ROW = 5
"""So many recipients put off one after the other are no coincidence: it is the SMSC that is not well."""
_GRUDGE_FIRST_S, _GRUDGE_LONGEST_S = 1.0, 30.0


class Complaints:
    """Of one account. All times are event-loop seconds."""

    def __init__(self, settings: SmppSettings) -> None:
        self.grievance = ""
        """What it has against us, until it takes a message again."""
        self._pace = Rest(settings.throttle_first_s, settings.throttle_longest_s)
        self._grudge = Rest(_GRUDGE_FIRST_S, _GRUDGE_LONGEST_S)
        self._put_off: set[bytes] = set()
        """Numbers for which it had no time in a row."""

    @property
    def rests_until(self) -> float:
        return max(self._pace.until, self._grudge.until)

    @property
    def paced_until(self) -> float:
        """Until when it asked for a slower pace."""
        return self._pace.until

    @property
    def refuses_until(self) -> float:
        """Until when it is left alone for what it has against us."""
        return self._grudge.until

    def judged(self, digits: bytes, verdict: StatusVerdict) -> StatusVerdict:
        """An SMSC that puts everybody off is not well, whatever it says of each recipient."""
        if verdict is StatusVerdict.TAKEN:
            self._put_off.clear()
            self.grievance = ""
        elif verdict is StatusVerdict.TEMPORARY:
            self._put_off.add(digits)
            if self.grievance or len(self._put_off) >= PUT_OFF_IN_A_ROW:
                return StatusVerdict.OURS
        return verdict

    def throttled(self, now: float, written: float) -> float:
        """It asked for a slower pace, of a part written then; seconds to rest from now."""
        return self._pace.throttled(now, written)

    def refused(self, status: int, now: float, written: float) -> None:
        """It refused a part, written then, for what it has against us."""
        self._grudge.throttled(now, written)
        self._put_off.clear()
        self.grievance = f"the SMSC refuses us, not the recipients: {statuses.code(status)} {statuses.name(status)}"
