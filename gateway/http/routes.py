"""THE TABLE: every route with its method, its right, its face and its types. What is not in it does not exist."""

from gateway.access.factor_desk import RecoveryCodes, TotpOffer
from gateway.access.rights import Action
from gateway.campaigns.answers import Preview, ZonePreview
from gateway.campaigns.refused import VERDICTS
from gateway.feed.changes import AlertEnded, AlertInFeed
from gateway.http import (
    account_keys,
    accounts,
    alerts,
    approvals,
    assets,
    audit,
    break_glass,
    campaigns,
    console,
    courses,
    docs_page,
    events,
    examples,
    feed,
    helpdesk,
    holds,
    invitations,
    me,
    notices,
    operations,
    own_factors,
    refused,
    sessions,
    unsubscribe,
    views,
)
from gateway.http.bodies import CAP_MEDIA_TYPE, EDXL_MEDIA_TYPE
from gateway.http.feed_stream import FeedHeartbeat, FeedOpen
from gateway.http.route import Events, Media, Route
from gateway.reports.report import Report

_ID = r"{id:[A-Za-z0-9_-]{1,64}}"
_ALERT = f"/cap/v1/alerts/{_ID}"
_CAMPAIGN = f"/api/v1/campaigns/{_ID}"
_HOLD = "/api/v1/holds/{id:(?!batch$)[A-Za-z0-9_-]{1,64}}"
_CODE = "(?:[A-Za-z0-9._-]|%2F){1,190}"
_ACCOUNT = f"/api/v1/accounts/{{id:{_CODE}}}"
_COURSES = f"/api/v1/accounts/{{code:{_CODE}}}/courses"
_INVITATION = "/api/v1/invitations/{id:(?!accept$)[A-Za-z0-9_-]{1,64}}"
_KEY = f"/api/v1/keys/{_ID}"
_SESSION = "/api/v1/sessions/{id:(?!(?:current|password|passkey|recovery)$)[A-Za-z0-9_-]{1,64}}"
_APPROVAL = f"/api/v1/approvals/{_ID}"
_PASSKEY = "/api/v1/me/passkeys/{id:(?!challenge$)[A-Za-z0-9_-]{1,64}}"
_UNSUBSCRIBE = "/unsubscribe/{token:[a-z0-9.-]{1,120}}"
_SEES_ALERTS = (Action.SUBMIT, Action.READ)
_SIGNING_IN = (401, 403, 429)

_CAP_ANSWER = Media((CAP_MEDIA_TYPE,), "A CAP Ack or Error message, where Accept asks for it.")
_UNCHANGED = Media((), "It is as the cache has it.")
_PAGE = Media(("text/html",), "A page for people.")

TABLE = (
    Route(
        "GET", "/", operations.index, "public",
        summary="Where everything is", tag="Operation", answers={200: operations.ServiceIndex},
    ),
    Route(
        "GET", "/healthz", operations.health, "public",
        summary="Whether the process answers", tag="Operation", answers={200: operations.Alive},
    ),
    Route(
        "GET", "/readyz", operations.ready, "public",
        summary="Whether it can take alerts now", tag="Operation",
        answers={200: operations.Readiness, 503: operations.Readiness},
    ),
    Route(
        "GET", "/metrics", operations.metrics, Action.OPERATE,
        summary="Figures for Prometheus", tag="Operation",
        answers={200: Media(("text/plain",), "The text format of Prometheus, 0.0.4.")},
    ),
    Route(
        "POST", "/cap/v1/alerts", alerts.submit, Action.SUBMIT,
        summary="Post a CAP alert", tag="Alerts",
        answers={
            202: (alerts.AlertResource, _CAP_ANSWER),
            200: (alerts.AlertResource, _CAP_ANSWER),
            **dict.fromkeys(VERDICTS, _CAP_ANSWER),
        },
        refuses=(402, 404, *VERDICTS), example=examples.ALERT,
    ),
    Route(
        "GET", "/cap/v1/alerts", alerts.find, _SEES_ALERTS,
        summary="Find an alert by its sender and identifier", tag="Alerts",
        answers={200: alerts.AlertResource}, refuses=(404,),
    ),
    Route(
        "GET", _ALERT, alerts.read, _SEES_ALERTS,
        summary="What became of an alert", tag="Alerts", answers={200: alerts.AlertResource},
    ),
    Route(
        "GET", f"{_ALERT}/document", alerts.document, _SEES_ALERTS,
        summary="An alert's octets as received", tag="Alerts",
        answers={200: Media((CAP_MEDIA_TYPE, EDXL_MEDIA_TYPE), "The alert, or the envelope that it came in.")},
    ),
    Route(
        "GET", "/cap/v1/refused", refused.listing, _SEES_ALERTS,
        summary="Documents of this account that were refused of late", tag="Alerts",
        answers={200: refused.RefusedList}, refuses=(404,),
    ),
    Route(
        "GET", f"/cap/v1/refused/{_ID}", refused.read, _SEES_ALERTS,
        summary="Why a document was refused", tag="Alerts", answers={200: refused.RefusedAlert},
    ),
    Route(
        "GET", f"/cap/v1/refused/{_ID}/document", refused.document, _SEES_ALERTS,
        summary="A refused document's octets as received", tag="Alerts",
        answers={200: Media(("application/octet-stream",), "The document, to be saved.")},
    ),
    Route(
        "POST", "/cap/v1/validate", alerts.validate, Action.SUBMIT,
        summary="Try a CAP alert: what posting it would do", tag="Alerts",
        answers={200: Preview}, refuses=(402, 409, 422), example=examples.ALERT,
    ),
    Route(
        "GET", "/cap/feed.atom", feed.atom, "public", face="outer",
        summary="What is in force, as Atom", tag="Public feed",
        answers={200: Media(("application/atom+xml",), "The feed."), 304: _UNCHANGED},
    ),
    Route(
        "GET", "/cap/feed.rss", feed.rss, "public", face="outer",
        summary="What is in force, as RSS", tag="Public feed",
        answers={200: Media(("application/rss+xml",), "The feed."), 304: _UNCHANGED},
    ),
    Route(
        "GET", "/cap/active.geojson", feed.geojson, "public", face="outer",
        summary="The areas of what is in force", tag="Public feed",
        answers={200: Media(("application/geo+json",), "A FeatureCollection (RFC 7946)."), 304: _UNCHANGED},
    ),
    Route(
        "GET", "/cap/heartbeat.xml", feed.heartbeat, "public", face="outer",
        summary="A sign of life that names what is in force", tag="Public feed",
        answers={200: Media((CAP_MEDIA_TYPE,), "A CAP message of status System."), 304: _UNCHANGED},
    ),
    Route(
        "GET", "/cap/stream", feed.stream, "public", face="outer",
        summary="Every change of the feed as it happens", tag="Public feed",
        answers={
            200: Events(
                {"open": FeedOpen, "alert": AlertInFeed, "ended": AlertEnded, "heartbeat": FeedHeartbeat},
                "`open` first, then each change; a comment every 15 s, a heartbeat every minute.",
            )
        },
    ),
    Route(
        "GET", f"/cap/alerts/{_ID}.xml", feed.alert, "public", face="outer",
        summary="A public alert as it was published", tag="Public feed",
        answers={200: Media((CAP_MEDIA_TYPE,), "The alert."), 304: _UNCHANGED},
    ),
    Route(
        "GET", f"/cap/alerts/{_ID}/files/{{sha256:[0-9a-f]{{64}}}}", feed.file, "public", face="outer",
        summary="A file that came with a public alert", tag="Public feed",
        answers={200: Media(("*/*",), "The file."), 304: _UNCHANGED},
    ),
    Route(
        "GET", _UNSUBSCRIBE, unsubscribe.look, "public", face="outer",
        summary="Ask whether an address wants no more news", tag="Public feed",
        answers={200: _PAGE, 404: _PAGE},
    ),
    Route(
        "POST", _UNSUBSCRIBE, unsubscribe.leave, "public", face="outer",
        summary="Take an address off the list (RFC 8058)", tag="Public feed",
        answers={200: _PAGE, 404: _PAGE},
    ),
    Route(
        "GET", "/api/v1/openapi.json", operations.api_document, "public",
        summary="This document", tag="Operation",
        answers={200: Media(("application/json",), "OpenAPI 3.1."), 304: _UNCHANGED},
    ),
    Route(
        "GET", "/sign-in", console.sign_in, "public",
        summary="Sign in, as a page for people", tag="Pages", answers={200: _PAGE},
    ),
    Route(
        "GET", "/invitation", console.invitation, "public",
        summary="Take up an invitation, as a page for people", tag="Pages", answers={200: _PAGE},
    ),
    Route(
        "GET", "/reset", console.reset, "public",
        summary="Set a lost password anew, as a page for people", tag="Pages", answers={200: _PAGE},
    ),
    Route(
        "GET", "/account", console.account, "public",
        summary="One's own account, as a page for people", tag="Pages", answers={200: _PAGE},
    ),
    Route(
        "GET", "/console/{version:[0-9a-f]{16}}/{name:[a-z_.]{1,40}}", console.file, "public",
        summary="A file of the pages for people", tag="Pages",
        answers={
            200: Media(("text/javascript", "text/css", "image/svg+xml", "application/json"), "The file."),
            304: _UNCHANGED,
        },
    ),
    Route(
        "GET", "/api/docs", docs_page.show, "public",
        summary="This document as a page to read and try", tag="Operation",
        answers={200: _PAGE}, refuses=(404,),
    ),
    Route(
        "GET", "/assets/{version:[0-9a-f]{16}}/{name:[A-Za-z0-9._-]{1,64}}", assets.file, "public",
        summary="A file that a page needs", tag="Operation",
        answers={200: Media(("text/javascript", "text/css", "text/plain"), "The file."), 304: _UNCHANGED},
    ),
    Route(
        "GET", "/assets/licences", assets.licences, "public",
        summary="The licences of others' files that pages need", tag="Operation",
        answers={200: Media(("text/plain",), "The texts, one after another.")},
    ),
    Route(
        "GET", "/api/v1/limits", operations.limits, "public",
        summary="How much of everything is allowed", tag="Operation", answers={200: operations.PublishedLimits},
    ),
    Route(
        "GET", "/api/v1/whoami", operations.whoami, "account",
        summary="The account behind a key, and its rights", tag="Account", answers={200: operations.Whoami},
    ),
    Route(
        "GET", "/api/v1/me", me.read, "account",
        summary="One's own profile", tag="Account", answers={200: me.OwnProfile}, has_version=True,
    ),
    Route(
        "PATCH", "/api/v1/me", me.change, "account",
        summary="Change one's own name, mobile number or language", tag="Account", answers={200: me.OwnProfile},
        refuses=(403, 409, 422), needs_match=True, has_version=True, example={"language": "fr"},
    ),
    Route(
        "GET", "/api/v1/me/keys", account_keys.own, "account",
        summary="One's own keys, the newest first", tag="Account", answers={200: account_keys.KeyList}, refuses=(404,),
    ),
    Route(
        "POST", f"/api/v1/me/keys/{_ID}/revoke", account_keys.revoke_own, "account",
        summary="Take back a key of one's own", tag="Account", answers={200: account_keys.ListedKey}, refuses=(403,),
    ),
    Route(
        "GET", "/api/v1/accounts", accounts.listing, Action.ADMINISTER,
        summary="Accounts, by their codes", tag="Account", answers={200: accounts.AccountList},
    ),
    Route(
        "POST", "/api/v1/accounts", accounts.create, Action.ADMINISTER,
        summary="Make an account, and invite its person", tag="Account", answers={201: accounts.InvitedAccount},
        refuses=(409, 422), has_version=True, example=examples.ACCOUNT, step_up=True,
    ),
    Route(
        "GET", _ACCOUNT, accounts.read, Action.ADMINISTER,
        summary="An account and its rights", tag="Account", answers={200: accounts.AccountInFull}, has_version=True,
    ),
    Route(
        "PATCH", _ACCOUNT, accounts.change, Action.ADMINISTER,
        summary="Change an account or its rights", tag="Account", answers={200: accounts.AccountInFull},
        refuses=(409, 422), needs_match=True, has_version=True, example={"name": "Jo Example"}, step_up=True,
    ),
    Route(
        "POST", f"{_ACCOUNT}/disable", accounts.disable, Action.ADMINISTER,
        summary="Let an account come in no longer", tag="Account", answers={200: accounts.AccountInFull},
        refuses=(409,), has_version=True, example={"reason": "On leave until March."},
    ),
    Route(
        "POST", f"{_ACCOUNT}/enable", accounts.enable, Action.ADMINISTER,
        summary="Let an account come in again", tag="Account",
        answers={200: accounts.AccountInFull, 202: accounts.AccountInFull},
        refuses=(409,), has_version=True, example={"reason": "Back from leave."}, step_up=True,
    ),
    Route(
        "POST", f"{_ACCOUNT}/end", accounts.end, Action.ADMINISTER,
        summary="End an account, for good", tag="Account", answers={200: accounts.AccountInFull},
        refuses=(409,), has_version=True, example={"reason": "Has left the network."}, step_up=True,
    ),
    Route(
        "POST", f"{_ACCOUNT}/invite", invitations.invite, Action.ADMINISTER,
        summary="Invite again, by a new link", tag="Account", answers={201: invitations.ListedInvitation},
        refuses=(409,), step_up=True,
    ),
    Route(
        "POST", f"{_ACCOUNT}/reset-factors", accounts.reset_factors, Action.ADMINISTER,
        summary="Ask that a person's factors be taken away", tag="Account", answers={202: accounts.AwaitedReset},
        refuses=(409,), step_up=True,
    ),
    Route(
        "GET", f"{_ACCOUNT}/keys", account_keys.listing, Action.ADMINISTER,
        summary="An account's keys, the newest first", tag="Account", answers={200: account_keys.KeyList},
    ),
    Route(
        "POST", f"{_ACCOUNT}/keys", account_keys.make, Action.ADMINISTER,
        summary="Make a key for an account", tag="Account",
        answers={201: account_keys.ShownKey, 202: account_keys.KeyToBeGranted},
        refuses=(409, 422), example={"name": "CAD of the dispatch centre", "test": True}, step_up=True,
    ),
    Route(
        "GET", _KEY, account_keys.read, Action.ADMINISTER,
        summary="A key", tag="Account", answers={200: account_keys.ListedKey},
    ),
    Route(
        "POST", f"{_KEY}/rotate", account_keys.rotate, Action.ADMINISTER,
        summary="Put a new key beside one that is to end", tag="Account",
        answers={201: account_keys.ShownKey, 202: account_keys.KeyToBeGranted},
        refuses=(409, 422), example={"overlap_hours": 48}, step_up=True,
    ),
    Route(
        "POST", f"{_KEY}/revoke", account_keys.revoke, Action.ADMINISTER,
        summary="Take back a key", tag="Account", answers={200: account_keys.ListedKey}, refuses=(409,),
    ),
    Route(
        "GET", "/api/v1/invitations", invitations.listing, Action.ADMINISTER,
        summary="Invitations, the newest first", tag="Account", answers={200: invitations.InvitationList},
        refuses=(404,),
    ),
    Route(
        "GET", _INVITATION, invitations.read, Action.ADMINISTER,
        summary="An invitation and how far it is", tag="Account", answers={200: invitations.ListedInvitation},
    ),
    Route(
        "POST", f"{_INVITATION}/withdraw", invitations.withdraw, Action.ADMINISTER,
        summary="Take back an invitation", tag="Account", answers={200: invitations.ListedInvitation},
        refuses=(409,),
    ),
    Route(
        "GET", "/api/v1/help", helpdesk.show, "public",
        summary="Whom to ask, and what to read", tag="Operation",
        answers={200: helpdesk.HelpPage}, recognises=True, while_enrolling=True,
    ),
    Route(
        "GET", "/api/v1/help/documents/{name:[a-z0-9-]{1,40}}", helpdesk.document, "account",
        summary="A document for the caller's role", tag="Operation",
        answers={200: Media(helpdesk.FILE_TYPES, "The document, to be saved.")},
    ),
    Route(
        "GET", _COURSES, courses.listing, Action.ADMINISTER,
        summary="The courses that somebody has followed", tag="Account", answers={200: courses.CourseList},
    ),
    Route(
        "POST", _COURSES, courses.note, Action.ADMINISTER,
        summary="Note a course", tag="Account",
        answers={201: courses.NotedCourse}, refuses=(409, 422), has_version=True,
        example={"name": "BIN alert, first course", "on_date": "2026-03-01"},
    ),
    Route(
        "GET", f"{_COURSES}/{_ID}", courses.read, Action.ADMINISTER,
        summary="A course of somebody", tag="Account", answers={200: courses.NotedCourse}, has_version=True,
    ),
    Route(
        "DELETE", f"{_COURSES}/{_ID}", courses.remove, Action.ADMINISTER,
        summary="Take a course away", tag="Account",
        answers={204: Media((), "It stands there no more.")}, needs_match=True,
    ),
    Route(
        "POST", "/api/v1/sessions/password", sessions.by_password, "public",
        summary="Sign in with a password and a code", tag="Sign-in",
        answers={201: sessions.CurrentSession}, refuses=_SIGNING_IN,
        example={"account": "anna@zone.example", "password": "four words of no sense", "code": "123456"},
    ),
    Route(
        "POST", "/api/v1/sessions/passkey/challenge", sessions.passkey_challenge, "public",
        summary="What a passkey has to sign", tag="Sign-in",
        answers={200: sessions.PasskeyRequest}, refuses=(403,),
    ),
    Route(
        "POST", "/api/v1/sessions/passkey", sessions.by_passkey, "public",
        summary="Sign in with a passkey", tag="Sign-in",
        answers={201: sessions.CurrentSession}, refuses=_SIGNING_IN, example=examples.PASSKEY,
    ),
    Route(
        "POST", "/api/v1/sessions/recovery", sessions.by_recovery_code, "public",
        summary="Sign in with a password and a recovery code", tag="Sign-in",
        answers={201: sessions.CurrentSession}, refuses=_SIGNING_IN,
        example={
            "account": "anna@zone.example", "password": "four words of no sense",
            "recovery_code": "ABCD-EFGH-JKLM-NPQR",
        },
    ),
    Route(
        "GET", "/api/v1/sessions", sessions.listing, "session",
        summary="One's own sessions, newest first", tag="Sign-in", answers={200: sessions.SessionList},
    ),
    Route(
        "GET", "/api/v1/sessions/current", sessions.current, "session",
        summary="The session by which one asks", tag="Sign-in", answers={200: sessions.CurrentSession},
        while_enrolling=True, while_locked=True, by_code=True,
    ),
    Route(
        "POST", "/api/v1/sessions/current/unlock", sessions.unlock, "session",
        summary="Unlock a session", tag="Sign-in", answers={200: sessions.CurrentSession},
        while_enrolling=True, while_locked=True, example={"password": "four words of no sense", "code": "123456"},
    ),
    Route(
        "POST", "/api/v1/sessions/current/step-up", sessions.step_up, "session",
        summary="Show a fresh factor", tag="Sign-in", answers={200: sessions.CurrentSession},
        while_enrolling=True, while_locked=True, example={"password": "four words of no sense", "code": "123456"},
    ),
    Route(
        "DELETE", "/api/v1/sessions/current", sessions.sign_out, "session",
        summary="Sign out", tag="Sign-in", answers={204: Media((), "The session has ended.")},
        while_enrolling=True, while_locked=True, by_code=True,
    ),
    Route(
        "DELETE", _SESSION, sessions.revoke, "session",
        summary="End one of one's own sessions", tag="Sign-in", answers={204: Media((), "The session has ended.")},
    ),
    Route(
        "POST", "/api/v1/invitations/accept", sessions.accept_invitation, "public",
        summary="Accept an invitation", tag="Sign-in",
        answers={201: sessions.CurrentSession}, refuses=(*_SIGNING_IN, 404, 409),
        example={"token": "what-stands-behind-the-hash"},
    ),
    Route(
        "POST", "/api/v1/resets", sessions.ask_reset, "public",
        summary="Ask for a link that sets a password", tag="Sign-in",
        answers={200: sessions.ResetAccepted}, refuses=(403, 429), example={"mail": "anna@zone.example"},
    ),
    Route(
        "POST", "/api/v1/resets/use", sessions.use_reset, "public",
        summary="Set a password by a link", tag="Sign-in",
        answers={204: Media((), "The password is set.")}, refuses=(403, 404, 422, 429),
        example={"token": "what-stands-behind-the-hash", "password": "four words of no sense"},
    ),
    Route(
        "GET", "/api/v1/me/factors", own_factors.overview, "session",
        summary="By what one can sign in", tag="Sign-in", answers={200: own_factors.OwnFactors}, while_enrolling=True,
    ),
    Route(
        "POST", "/api/v1/me/passkeys/challenge", own_factors.passkey_challenge, "session",
        summary="What a new passkey is made for", tag="Sign-in", answers={200: own_factors.PasskeyCreation},
        step_up=True, while_enrolling=True,
    ),
    Route(
        "POST", "/api/v1/me/passkeys", own_factors.add_passkey, "session",
        summary="Add a passkey", tag="Sign-in", answers={201: own_factors.FactorSetUp}, refuses=(409, 422),
        step_up=True, while_enrolling=True, example=examples.NEW_PASSKEY,
    ),
    Route(
        "DELETE", _PASSKEY, own_factors.remove_passkey, "session",
        summary="Remove a passkey", tag="Sign-in", answers={204: Media((), "It is removed.")}, refuses=(409,),
        step_up=True,
    ),
    Route(
        "PUT", "/api/v1/me/password", own_factors.set_password, "session",
        summary="Set one's password", tag="Sign-in", answers={200: own_factors.FactorSetUp}, refuses=(422,),
        step_up=True, while_enrolling=True, example={"password": "four words of no sense"},
    ),
    Route(
        "POST", "/api/v1/me/totp", own_factors.offer_totp, "session",
        summary="A secret for an app that shows codes", tag="Sign-in", answers={200: TotpOffer},
        step_up=True, while_enrolling=True,
    ),
    Route(
        "POST", "/api/v1/me/totp/confirm", own_factors.confirm_totp, "session",
        summary="Confirm the app by its first code", tag="Sign-in", answers={200: own_factors.FactorSetUp},
        refuses=(422,), step_up=True, while_enrolling=True, example={"code": "123456"},
    ),
    Route(
        "DELETE", "/api/v1/me/totp", own_factors.remove_totp, "session",
        summary="Remove the app", tag="Sign-in", answers={204: Media((), "It is removed.")}, refuses=(404, 409),
        step_up=True,
    ),
    Route(
        "POST", "/api/v1/me/recovery-codes", own_factors.make_recovery_codes, "session",
        summary="Ten new recovery codes", tag="Sign-in", answers={200: RecoveryCodes}, step_up=True,
    ),
    Route(
        "GET", "/api/v1/holds", holds.listing, Action.OPERATE,
        summary="What is held, the oldest first", tag="Operation", answers={200: holds.HoldList},
    ),
    Route(
        "POST", "/api/v1/holds", holds.place, Action.OPERATE,
        summary="Hold a zone, channel, carrier, campaign or everything", tag="Operation",
        answers={201: holds.StandingHold, 200: holds.StandingHold}, refuses=(422,), has_version=True,
        example={"scope": "channel", "subject": "sms", "reason": "The texts name the wrong street."},
    ),
    Route(
        "POST", "/api/v1/holds/batch", holds.place_all, Action.OPERATE,
        summary="Hold several things together", tag="Operation",
        answers={200: holds.BatchOfHolds}, refuses=(422,),
        example={"holds": [{"scope": "channel", "subject": "sms"}, {"scope": "channel", "subject": "voice"}]},
    ),
    Route(
        "GET", _HOLD, holds.read, Action.OPERATE,
        summary="A hold", tag="Operation", answers={200: holds.StandingHold}, has_version=True,
    ),
    Route(
        "PATCH", _HOLD, holds.change, Action.OPERATE,
        summary="Give a hold another reason", tag="Operation",
        answers={200: holds.StandingHold}, refuses=(409,), needs_match=True, has_version=True,
        example={"reason": "The SMSC is being repaired until noon."},
    ),
    Route(
        "DELETE", _HOLD, holds.lift, Action.OPERATE,
        summary="Lift a hold", tag="Operation",
        answers={204: Media((), "It is lifted.")}, refuses=(409,), needs_match=True,
    ),
    Route(
        "GET", "/api/v1/alarms", notices.alarms, Action.OPERATE,
        summary="What is not well with the machine now", tag="Operation", answers={200: notices.AlarmList},
    ),
    Route(
        "GET", "/api/v1/notices", notices.listing, Action.OPERATE,
        summary="What the platform itself has told, newest first", tag="Operation",
        answers={200: notices.NoticeList},
    ),
    Route(
        "GET", "/api/v1/audit", audit.find, (Action.AUDIT, Action.OPERATE),
        summary="Who did what, newest first", tag="Operation", answers={200: audit.LinesOfAudit},
    ),
    Route(
        "GET", "/api/v1/approvals", approvals.listing, Action.ADMINISTER,
        summary="What waits for a second person, newest first", tag="Account",
        answers={200: approvals.ApprovalList}, refuses=(404,),
    ),
    Route(
        "GET", _APPROVAL, approvals.read, Action.ADMINISTER,
        summary="All that is done where it is granted", tag="Account", answers={200: approvals.ApprovalInFull},
    ),
    Route(
        "POST", f"{_APPROVAL}/decision", approvals.decide, Action.ADMINISTER,
        summary="Grant or refuse what another has asked for", tag="Account",
        answers={200: approvals.ApprovalInFull}, refuses=(403, 409), person_only=True, step_up=True,
        example={"grant": True, "digest": "0" * 64, "reason": "She has followed the course."},
    ),
    Route(
        "POST", f"{_APPROVAL}/withdraw", approvals.withdraw, Action.ADMINISTER,
        summary="Take back what was asked for", tag="Account",
        answers={200: approvals.ApprovalInFull}, refuses=(409,),
    ),
    Route(
        "POST", "/api/v1/break-glass", break_glass.use, "public",
        summary="Open a zone by its paper code when nobody can sign in", tag="Account",
        answers={200: break_glass.OpenedByCode}, refuses=(403, 429),
        example={
            "zone": "5301", "code": "7K3M-0000-0000-0000-0000-0000", "name": "A. Peeters",
            "reason": "Nobody of the zone is reached.", "mode": "simulation",
        },
    ),
    Route(
        "GET", "/api/v1/campaigns", campaigns.listing, Action.READ,
        summary="Campaigns, newest first", tag="Campaigns", answers={200: views.CampaignList}, refuses=(404,),
        on_behalf=True,
    ),
    Route(
        "POST", "/api/v1/campaigns", campaigns.launch, Action.LAUNCH,
        summary="Launch a message, or preview it", tag="Campaigns",
        answers={202: views.LaunchedCampaign, 200: (views.LaunchedCampaign, ZonePreview)},
        refuses=(402, 409, 422), needs_key=True, example=examples.MESSAGE,
        on_behalf=True,
    ),
    Route(
        "GET", "/api/v1/events", events.stream, "account",
        summary="All that a screen watches, in one stream", tag="Campaigns",
        answers={
            200: Events(
                {"campaign": events.WatchedCampaign, "list": events.WatchedList},
                "The state of each topic, and again when it has changed; a comment every 15 s.",
            )
        },
        refuses=(403, 404),
    ),
    Route(
        "GET", _CAMPAIGN, campaigns.read, Action.READ,
        summary="A campaign with its words and counters", tag="Campaigns", answers={200: views.CampaignInFull},
        on_behalf=True,
    ),
    Route(
        "GET", f"{_CAMPAIGN}/progress", campaigns.progress, Action.READ,
        summary="A campaign's counters as they move", tag="Campaigns",
        answers={
            200: Events(
                {"progress": views.CampaignProgress, "end": views.CampaignProgress},
                "The counters, each time they have moved; `end` when the report is sealed.",
            )
        },
    ),
    Route(
        "GET", f"{_CAMPAIGN}/deliveries", campaigns.deliveries, Action.READ,
        summary="A campaign's deliveries", tag="Campaigns", answers={200: views.DeliveryList},
        on_behalf=True,
    ),
    Route(
        "GET", f"{_CAMPAIGN}/report", campaigns.report, Action.READ,
        summary="The account of a campaign", tag="Campaigns",
        answers={200: (Report, Media(("text/csv",), "The report as a table."))},
        on_behalf=True,
    ),
    Route(
        "POST", f"{_CAMPAIGN}/stop", campaigns.stop, Action.STOP,
        summary="End a campaign now", tag="Campaigns", answers={200: views.StoppedCampaign}, refuses=(403, 409),
        on_behalf=True,
    ),
)  # fmt: skip
