"""What people hear of accounts: invitations, resets, factors that changed, what waits for a second person, paper codes.

Each is told in the transaction of what it tells of: either both are kept, or neither.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from channels.contract import Channel, Mode
from gateway.access.approval_desk import ApprovalNews
from gateway.access.break_glass_desk import BreakGlassNews
from gateway.access.dangerous import named, read_act
from gateway.access.inviting import InvitationLetter, link_of
from gateway.access.link_desk import ResetLink
from gateway.notices import texts
from gateway.notices.notice import Fact, Notice, NoticeAddress, NoticeSubject
from gateway.notices.telling import HelpLines, local_time, tell
from store.access.approvals import Approval
from store.engine.transaction import Transaction
from store.notices import recipients
from store.notices.recipients import NoticeRecipient


@dataclass(frozen=True, slots=True)
class AccountNotices:
    base_url: str
    """Where people reach the gateway, without a slash at its end."""
    help_lines: HelpLines

    async def invitation(self, tx: Transaction, letter: InvitationLetter) -> int | None:
        """The campaign by which an invitation leaves; None where nothing does."""
        facts = {
            "by": letter.invited_by or "Tocsin",
            "link": link_of(self.base_url, letter.token),
            "until": local_time(letter.ends_ms),
        }
        to = (NoticeAddress(Channel.EMAIL, letter.email, letter.language),)
        zone = await recipients.only_zone(tx, letter.account_id)
        return await self._tell(tx, Notice(subject=NoticeSubject.INVITATION, to=to, facts=facts, zone=zone))

    async def reset(self, tx: Transaction, link: ResetLink) -> int | None:
        facts = {"link": f"{self.base_url}/reset#{link.token}", "until": local_time(link.ends_ms)}
        to = (NoticeAddress(Channel.EMAIL, link.mail, link.language),)
        zone = await recipients.only_zone(tx, link.account_id)
        return await self._tell(tx, Notice(subject=NoticeSubject.RESET, to=to, facts=facts, zone=zone))

    async def factor(self, tx: Transaction, account_id: int, event: str) -> int | None:
        """Tells the owner of an account what was done to its factors; `event`: a word of the catalogues."""
        zone = await recipients.only_zone(tx, account_id)
        return await self._security(tx, [account_id], texts.event(event), tx.now_ms, zone=zone)

    async def approval(self, tx: Transaction, news: ApprovalNews) -> None:
        """What is to be decided goes to whoever may decide it; what has become of it to whoever it concerns."""
        about, what = news.approval, _what(news.approval)
        if news.event == "alone":
            await self._of_grant_alone(tx, news, what)
        elif news.event == "asked":
            facts: dict[str, Fact] = {
                "what": what,
                "by": _asker(about),
                "link": f"{self.base_url}/sign-in?to=/account%23approvals",
                "until": local_time(about.ends_ms),
            }
            to = tuple(_by_mail(await recipients.of_accounts(tx, news.to)))
            if to:
                await self._tell(tx, Notice(subject=NoticeSubject.APPROVAL, to=to, facts=facts, zone=about.zone or ""))
        else:
            became = texts.event(f"approval-{news.event}", what=what)
            await self._security(tx, news.to, became, tx.now_ms, zone=about.zone or "")

    async def _of_grant_alone(self, tx: Transaction, news: ApprovalNews, what: Mapping[str, str]) -> None:
        """It is done if nobody says anything, so that it is never held back."""
        about = news.approval
        done_ms = about.ends_ms if about.not_before_ms is None else about.not_before_ms
        said = texts.event(
            "granted-alone", by=_asker(about), zone=about.zone or "", what=what, when=local_time(done_ms)
        )
        await self._security(tx, news.to, said, tx.now_ms, zone=about.zone or "", bounded=False)

    async def break_glass(self, tx: Transaction, news: BreakGlassNews) -> None:
        """By mail and SMS, at once: somebody acts alone now, or tries to."""
        found = await recipients.of_accounts(tx, news.to)
        to = tuple((*_by_mail(found), *_by_sms(found)))
        used = news.use
        if not to:
            return
        if used is None:
            zone = await recipients.zone_code(tx, news.zone_id)
            what = texts.event("codes-guessed", zone=zone)
            when = local_time(tx.now_ms)
            await self._tell(tx, Notice(subject=NoticeSubject.SECURITY, to=to, facts={"what": what, "when": when}))
            return
        facts = {"by": used.name, "zone": used.zone, "reason": used.reason, "when": local_time(used.began_ms)}
        key = f"break-glass/{used.public_id}"
        await self._tell(
            tx,
            Notice(
                subject=NoticeSubject.BREAK_GLASS,
                bounded=False,
                to=to,
                facts=facts,
                dedupe=key,
                zone=used.zone,
                mode=Mode(used.mode),
            ),
        )

    async def _security(
        self,
        tx: Transaction,
        account_ids: Sequence[int],
        what: Mapping[str, str],
        at_ms: int,
        *,
        zone: str = "",
        bounded: bool = True,
    ) -> int | None:
        to = tuple(_by_mail(await recipients.of_accounts(tx, account_ids)))
        if not to:
            return None
        facts: dict[str, Fact] = {"what": what, "when": local_time(at_ms)}
        notice = Notice(subject=NoticeSubject.SECURITY, to=to, facts=facts, zone=zone, bounded=bounded)
        return await self._tell(tx, notice)

    async def _tell(self, tx: Transaction, notice: Notice) -> int | None:
        return await tell(tx, notice, self.help_lines)


def _asker(about: Approval) -> str:
    return about.asked_code if about.behalf_code is None else f"{about.asked_code} ({about.behalf_code})"


def _what(about: Approval) -> dict[str, str]:
    """What is asked for, in a few words of every language: of which kind, for whom and where."""
    kinds = {str(type(change).__struct_config__.tag) for change in read_act(about.act).changes}
    kind = next(iter(kinds)) if len(kinds) == 1 else "several"
    said = texts.phrase("acts", kind, accounts=named(about.summary))
    return texts.phrase("acts", "in-zone", what=said, zone=about.zone) if about.zone else said


def _by_mail(found: Iterable[NoticeRecipient]) -> Iterable[NoticeAddress]:
    return (NoticeAddress(Channel.EMAIL, one.email, one.language) for one in found if one.email)


def _by_sms(found: Iterable[NoticeRecipient]) -> Iterable[NoticeAddress]:
    return (NoticeAddress(Channel.SMS, one.mobile, one.language) for one in found if one.mobile)
