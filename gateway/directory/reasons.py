"""Why a member, or a member's channel, gets no message of its own: the closed list, a sentence each."""

from enum import IntEnum


class ExclusionReason(IntEnum):
    """Why nobody is sent anything. The numbers are kept in frozen audiences: none ever gets a second meaning."""

    OPTED_OUT = 1
    NO_CONTACT = 2
    NO_CHANNEL = 3
    SAME_ADDRESS = 4
    OTHER_ZONE = 5
    NOT_TOLD = 6
    ADDRESS_OPTED_OUT = 7
    NETWORK_OPTED_OUT = 8

    @property
    def word(self) -> str:
        """The word of the JSON API and of reports."""
        return self.name.lower()

    @property
    def sentence(self) -> str:
        """The reason in a sentence, for the preview and the report."""
        return _SENTENCES[self]


_SENTENCES = {
    ExclusionReason.OPTED_OUT: "This member does not want messages of this kind.",
    ExclusionReason.NO_CONTACT: "The register holds no address of this member for this channel.",
    ExclusionReason.NO_CHANNEL: "This channel was asked for, but may not be used for this message.",
    ExclusionReason.SAME_ADDRESS: "Another member of this campaign is reached at the same address.",
    ExclusionReason.OTHER_ZONE: "The same address is reached by this alert's campaign in another zone.",
    ExclusionReason.NOT_TOLD: "Nothing was sent to this member on this channel, so there is nothing to cancel.",
    ExclusionReason.ADDRESS_OPTED_OUT: "No address of this member for this channel wants messages of this kind.",
    ExclusionReason.NETWORK_OPTED_OUT: (
        "This member does not want messages of this kind through the networks concerned."
    ),
}
