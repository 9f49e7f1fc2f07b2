"""The tables, once for both engines. Migrations make them; a test holds the two together."""

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite makes a row id of INTEGER PRIMARY KEY only, PostgreSQL an identity of BIGINT.
Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ERASED = "erased"
"""What stands, or begins, in the place of an address or a reference that was erased."""


def _id() -> sa.Column[int]:
    return sa.Column("id", Big, primary_key=True, autoincrement=True)


def _given_id() -> sa.Column[int]:
    return sa.Column("id", Big, primary_key=True, autoincrement=False)


def _ref(name: str, target: str, *, index: bool = False, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, Big, sa.ForeignKey(f"{target}.id"), index=index, nullable=nullable)


def _int(name: str, default: int | None = None) -> sa.Column[int]:
    server_default = None if default is None else sa.text(str(default))
    return sa.Column(name, Big, nullable=False, server_default=server_default)


def _text(name: str, default: str | None = None) -> sa.Column[str]:
    server_default = None if default is None else sa.text(f"'{default}'")
    return sa.Column(name, sa.Text, nullable=False, server_default=server_default)


meta = sa.Table("meta", metadata, sa.Column("key", sa.Text, primary_key=True), _text("value"))

# ---- the register ----------------------------------------------------------------------------------------

zone = sa.Table(
    "zone",
    metadata,
    _id(),
    sa.Column("code", sa.Text, nullable=False, unique=True),
    _text("name"),
    _int("convention"),  # 1: has a duty to alert, may target areas; 2: its networks and groups only
    _text("policy"),  # JSON, gateway/directory/zone_policy.py
    _text("territory", ""),  # JSON, gateway/directory/territory.py; empty: where it lies is not known
    _int("register_rev", 0),  # moved by every change of the zone's register
    _int("places_rev", 0),  # the revision at which the zone itself, a network or a group of it last changed
)

network = sa.Table(
    "network",
    metadata,
    _id(),
    _ref("zone_id", "zone", index=True),
    _text("code"),
    _text("name"),
    sa.Column("territory", sa.Text),  # JSON: list of rings, each a list of [lat, lon] in degrees
    sa.UniqueConstraint("zone_id", "code"),
)

network_code = sa.Table(
    "network_code",
    metadata,
    sa.Column("network_id", Big, sa.ForeignKey("network.id"), primary_key=True),
    sa.Column("system", sa.Text, primary_key=True),  # REFNIS, POSTCODE, POLICEZONE, ...
    sa.Column("value", sa.Text, primary_key=True),
    sa.Index("ix_network_code_system_value", "system", "value"),
)

member_group = sa.Table(
    "member_group",
    metadata,
    _id(),
    _ref("zone_id", "zone", index=True),
    _text("code"),
    _text("name"),
    sa.UniqueConstraint("zone_id", "code"),
)

member = sa.Table(
    "member",
    metadata,
    _id(),
    _ref("zone_id", "zone"),
    _text("public_id"),
    _text("reference"),  # the zone's own key for this person
    _text("name"),
    _text("language"),  # BCP 47 primary tag: nl, fr, de, en
    sa.Column("lon_e7", sa.Integer),  # 1e-7 degree; both or neither
    sa.Column("lat_e7", sa.Integer),
    sa.Column("refnis", sa.Integer),
    sa.Column("postcode", sa.Integer),
    sa.Column("removed_ms", Big),
    _int("changed_rev", 0),  # the register's revision at which it, a contact or a membership of it last changed
    sa.UniqueConstraint("zone_id", "reference"),
    sa.UniqueConstraint("public_id"),
    sa.Index("ix_member_zone_id_changed_rev", "zone_id", "changed_rev"),
)

erasure = sa.Table(
    "erasure",  # persons who are to be erased (store/register/export_and_erase.py)
    metadata,
    sa.Column("member_id", Big, sa.ForeignKey("member.id"), primary_key=True),
    _ref("zone_id", "zone", index=True),
    _int("asked_ms"),
    _text("reference_sha256"),  # so that no file brings them back (store/register/writing.py)
    _int("upto", 0),  # the last campaign whose deliveries were looked through
    sa.Column("done_ms", Big),
)

membership = sa.Table(
    "membership",
    metadata,
    sa.Column("network_id", Big, sa.ForeignKey("network.id"), primary_key=True),
    sa.Column("member_id", Big, sa.ForeignKey("member.id"), primary_key=True),
    _text("role", "member"),  # member, coordinator, co-coordinator
    sa.Index("ix_membership_member_id", "member_id"),
)

group_member = sa.Table(
    "group_member",
    metadata,
    sa.Column("group_id", Big, sa.ForeignKey("member_group.id"), primary_key=True),
    sa.Column("member_id", Big, sa.ForeignKey("member.id"), primary_key=True),
    sa.Index("ix_group_member_member_id", "member_id"),
)

address = sa.Table(
    "address",  # one row for each normalised address: what makes "the same phone" exact
    metadata,
    _id(),
    _text("value"),  # E.164 or mailbox
    sa.UniqueConstraint("value"),
)

contact = sa.Table(
    "contact",  # immutable versions: a change closes one row and opens another
    metadata,
    _id(),
    _ref("member_id", "member", index=True),
    _ref("address_id", "address"),
    _text("type"),  # mobile, landline, email
    _text("value"),  # the address as it was in this version
    _int("rank", 0),  # the member's own order, 0 first
    _int("from_ms"),
    sa.Column("until_ms", Big),
    sa.Index(
        "ix_contact_open_address_id",
        "address_id",
        sqlite_where=sa.text("until_ms IS NULL"),
        postgresql_where=sa.text("until_ms IS NULL"),
    ),
)

opt_out = sa.Table(
    "opt_out",  # immutable facts: taking one back sets until_ms and changes nothing else
    metadata,
    _id(),
    _ref("zone_id", "zone"),
    _ref("member_id", "member", nullable=True),  # this member, at whatever address
    _ref("address_id", "address", nullable=True),  # this address, whoever's it is
    _ref("network_id", "network", nullable=True),  # beside a member: only what reaches them through this network
    _text("kind"),  # * for all
    _text("channel", "*"),
    _text("source"),  # who said so: seed, coordinator, click, stop, ...
    _int("from_ms"),  # 0: before rows were kept of it
    sa.Column("until_ms", Big),  # null: in force
    sa.CheckConstraint(
        "(member_id IS NULL) <> (address_id IS NULL) AND (network_id IS NULL OR address_id IS NULL)",
        name="ck_opt_out_subject",
    ),
    *(
        sa.Index(
            f"ix_opt_out_{subject}",
            "zone_id",
            *columns,
            "kind",
            "channel",
            "source",
            unique=True,
            sqlite_where=sa.text(in_force),
            postgresql_where=sa.text(in_force),
        )
        for subject, columns, in_force in (
            ("member", ("member_id",), "until_ms IS NULL AND address_id IS NULL AND network_id IS NULL"),
            ("membership", ("member_id", "network_id"), "until_ms IS NULL AND network_id IS NOT NULL"),
            ("address", ("address_id",), "until_ms IS NULL AND member_id IS NULL"),
        )
    ),
)

account = sa.Table(
    "account",
    metadata,
    _id(),
    sa.Column("code", sa.Text, nullable=False, unique=True),
    _text("name"),
    _text("type"),  # cic, officer, coordinator, co-coordinator, administrator, operator, auditor, consumer
    _text("senders", "[]"),  # JSON: the CAP sender values it may post under
    _text("kind_rules", "[]"),  # JSON: the sender's own table to a kind
    _text("terms", "[]"),  # JSON, gateway/directory/agreements.py: what is agreed with each of its senders
    sa.Column("disabled_ms", Big),
    _text("email", ""),  # in normal form; empty: it has none
    _text("mobile", ""),  # E.164; empty: it has none
    _text("language", "en"),  # nl, fr, de, en: in which it is told things
    _int("created_ms", 0),  # 0: before that was kept
    _ref("created_by", "account", nullable=True),  # that invited it; null: the terminal, or a file
    sa.Column("joined_ms", Big),  # since when it may come in; null: it is invited and has not answered
    sa.Column("ended_ms", Big),  # from then on, for good
    _int("tell_ended", 1),  # 1: is told how its campaigns have ended
    _int("revision", 1),
    _int("changed_ms", 0),
    _text("changed_by", ""),
    _text("sought", ""),  # code, name and mail address as they are searched: without case and accents
    # No two accounts have one address: it names who signs in. Nobody shares a row of what is empty.
    sa.Index(
        "ix_account_email",
        "email",
        unique=True,
        sqlite_where=sa.text("email <> ''"),
        postgresql_where=sa.text("email <> ''"),
    ),
    sa.Index("ix_account_created_by", "created_by"),
)

invitation = sa.Table(
    "invitation",
    metadata,
    _id(),
    sa.Column("public_id", sa.Text, nullable=False, unique=True),
    _ref("account_id", "account", index=True),
    sa.Column("token_sha256", sa.Text, nullable=False, unique=True),
    _int("made_ms"),
    _int("ends_ms"),
    _ref("made_by", "account", nullable=True),  # null: somebody at the terminal
    _text("state"),  # made, opened, accepted, withdrawn: the rest is told by its notice and by the clock
    _int("state_ms"),
    sa.Column("campaign_id", Big, sa.ForeignKey("campaign.id")),  # of its notice; null: none was sent
)

api_key = sa.Table(
    "api_key",
    metadata,
    _id(),
    _ref("account_id", "account", index=True),
    sa.Column("key_id", sa.Text, nullable=False, unique=True),
    _text("secret_sha256"),
    _int("created_ms"),
    sa.Column("revoked_ms", Big),
    sa.Column("expires_ms", Big),  # null: good until it is revoked
    _text("note", ""),  # its name: whose it is, or where it is used
    # The key in whose place it comes: the two are good beside one another for a while.
    _ref("rotated_from", "api_key", index=True, nullable=True),
)

account_right = sa.Table(
    "account_right",
    metadata,
    _id(),
    _ref("account_id", "account", index=True),
    _ref("zone_id", "zone", nullable=True),  # null: every zone (operators)
    _ref("network_id", "network", nullable=True),  # null: the whole zone
    _text("action"),  # gateway/access/rights.py
    _text("kind", "*"),
    _text("channel", "*"),
    _text("mode", "*"),  # live, simulation
    sa.Index("ix_account_right_zone_id_account_id", "zone_id", "account_id"),
)

# ---- courses: what an account has learnt, and who says so ------------------------------------------------

course = sa.Table(
    "course",
    metadata,
    _id(),
    _ref("account_id", "account"),
    _text("name"),
    _text("on_date"),  # ISO 8601, the day as it was where the zones lie
    _ref("by_account_id", "account", nullable=True),  # null: somebody at the machine's terminal
    _int("noted_ms"),
    sa.Index("ix_course_account_id_on_date", "account_id", "on_date"),
)

# ---- who has signed in: sessions and their factors -------------------------------------------------------

session = sa.Table(
    "session",
    metadata,
    _id(),
    sa.Column("public_id", sa.Text, nullable=False, unique=True),
    sa.Column("token_sha256", sa.Text, nullable=False, unique=True),  # of the cookie's value; another with every factor
    _ref("account_id", "account", index=True),
    _int("made_ms"),
    _int("seen_ms"),  # written at most once a minute; what lies further back than the idle time is locked
    _int("ends_ms"),
    _text("factors"),  # JSON: those that were shown when the token was given
    _int("factor_ms"),  # when
    _int("enrol_only", 0),  # 1: it may do nothing but set up factors
    _int("locked", 0),  # 1: a right was added meanwhile
    _text("address", ""),
    _text("agent", ""),
    sa.Column("ended_ms", Big),
    _text("ended_by", ""),  # sign-out, revoked, factors, disabled, ...
    sa.Column("break_glass_use_id", Big),  # of the paper code that opened it
)

passkey = sa.Table(
    "passkey",
    metadata,
    _id(),
    sa.Column("public_id", sa.Text, nullable=False, unique=True),
    _ref("account_id", "account", index=True),
    sa.Column("credential_id", sa.Text, nullable=False, unique=True),  # base64url
    sa.Column("credential", sa.LargeBinary, nullable=False),  # WebAuthn's attested credential data: id and public key
    _text("user_handle"),  # base64url; the same for all passkeys of an account, and nobody else's
    _text("name", ""),
    _int("counter", 0),
    _int("made_ms"),
    sa.Column("used_ms", Big),
)

password = sa.Table(
    "password",
    metadata,
    sa.Column("account_id", Big, sa.ForeignKey("account.id"), primary_key=True, autoincrement=False),
    _text("hash"),  # argon2id with its parameters
    _int("set_ms"),
)

totp = sa.Table(
    "totp",
    metadata,
    sa.Column("account_id", Big, sa.ForeignKey("account.id"), primary_key=True, autoincrement=False),
    _text("sealed", ""),  # the secret in force (gateway/access/sealed_secret.py); empty: none yet
    _int("set_ms", 0),
    _int("last_step", 0),  # no code of this step of time, or of one before, is good again
    _text("offered", ""),  # a secret that is not confirmed yet
    _int("offered_ms", 0),
)

recovery_code = sa.Table(
    "recovery_code",
    metadata,
    _id(),
    _ref("account_id", "account"),
    _text("code_sha256"),
    _int("made_ms"),
    sa.Column("used_ms", Big),
    sa.UniqueConstraint("account_id", "code_sha256"),
)

reset_wish = sa.Table(
    "reset_wish",  # what was typed by whoever has lost a password; looked at by a chore, so that no answer tells
    metadata,
    _id(),
    _text("mail"),
    _text("address"),  # of the client
    _int("at_ms"),
)

password_reset = sa.Table(
    "password_reset",
    metadata,
    _id(),
    _ref("account_id", "account", index=True),
    sa.Column("token_sha256", sa.Text, nullable=False, unique=True),
    _int("made_ms"),
    _int("ends_ms"),
    sa.Column("used_ms", Big),
)

used_challenge = sa.Table(
    "used_challenge",  # of passkeys: each is good once, on whichever node
    metadata,
    sa.Column("challenge_sha256", sa.Text, primary_key=True),
    _int("ends_ms"),
)

sign_in_bucket = sa.Table(
    "sign_in_bucket",  # how much of something has been tried, on all nodes together
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    _int("full_us"),  # when nothing will be missing from it
)

# ---- second persons: approvals, and codes for when nobody can sign in ------------------------------------

approval = sa.Table(
    "approval",  # what one person asks for and a second one decides
    metadata,
    _id(),
    sa.Column("public_id", sa.Text, nullable=False, unique=True),
    _text("subject"),  # what is asked for: rights (gateway/access/dangerous.py)
    _ref("zone_id", "zone", nullable=True),  # null: of several zones, or of every one
    _text("act"),  # JSON: what will be done, exactly; never changed
    _text("summary"),  # JSON: what lists show of it
    _text("digest"),  # SHA-256 of the act, hexadecimal: a decision names it
    _ref("asked_by", "account"),
    _ref("asked_behalf", "account", nullable=True),
    _int("asked_ms"),
    sa.Column("not_before_ms", Big),  # of what its asker grants alone: when it is done
    _int("ends_ms"),
    _text("state"),  # asked, granted, refused, withdrawn, expired, done
    _ref("decided_by", "account", nullable=True),
    sa.Column("decided_ms", Big),
    _text("evidence", "{}"),  # JSON: how it was decided, and why it was not done
    sa.Index("ix_approval_zone_id_id", "zone_id", "id"),
    *(
        sa.Index(f"ix_approval_{column}", column, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
        for column, where in (("ends_ms", "state IN ('asked', 'granted')"), ("not_before_ms", "state = 'granted'"))
    ),
)

approval_target = sa.Table(
    "approval_target",  # what open approvals are about, so that no two are about one thing; gone with their end
    metadata,
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("target", sa.Text, primary_key=True),  # an account's code
    _ref("approval_id", "approval", index=True),
)

break_glass = sa.Table(
    "break_glass",  # paper codes by which a zone is launched for when nobody of it can sign in
    metadata,
    _id(),
    sa.Column("public_id", sa.Text, nullable=False, unique=True),
    _ref("zone_id", "zone", index=True),
    _text("code_sha256"),
    _int("issued_ms"),
    _text("issued_by"),  # the login at the terminal
    _text("state"),  # valid, used, replaced
    _int("state_ms"),
    sa.Index(
        "ix_break_glass_valid",
        "zone_id",
        unique=True,
        sqlite_where=sa.text("state = 'valid'"),
        postgresql_where=sa.text("state = 'valid'"),
    ),
)

break_glass_use = sa.Table(
    "break_glass_use",
    metadata,
    _id(),
    sa.Column("public_id", sa.Text, nullable=False, unique=True),
    sa.Column("break_glass_id", Big, sa.ForeignKey("break_glass.id"), nullable=False, unique=True),  # each code once
    _ref("account_id", "account"),  # as which it acts
    _text("name"),  # of the person, as typed
    _text("reason"),
    _text("mode"),  # live; simulation: a rehearsal
    _int("began_ms"),
    _int("ends_ms"),
)

break_glass_guess = sa.Table(
    "break_glass_guess",  # codes that were none, counted for a while
    metadata,
    sa.Column("scope", sa.Text, primary_key=True),  # origin, zone
    sa.Column("subject", sa.Text, primary_key=True),  # hash of a network address; a zone's id, 0 for none of that name
    _int("since_ms"),
    _int("guesses"),
    sa.Index("ix_break_glass_guess_since_ms", "since_ms"),
)

# ---- alerts and campaigns --------------------------------------------------------------------------------

thread = sa.Table(
    "thread",  # alerts and campaigns that belong together; its row is the lock under which they are changed
    metadata,
    _id(),
    _int("revision", 0),  # one more with every launch in it: who decided on an older one decides again
    _text("state", "open"),  # open, cancelled
    # An id is never given twice: a decision may still name a thread that was merged into another one meanwhile.
    sqlite_autoincrement=True,
)

alert = sa.Table(
    "alert",
    metadata,
    _id(),
    sa.Column("public_id", sa.Text, nullable=False, unique=True),
    _text("sender"),
    _text("identifier"),
    _int("sent_ms"),
    _text("status"),
    _text("msg_type"),
    _text("scope"),
    sa.Column("document", sa.LargeBinary, nullable=False),  # byte for byte as received
    _text("sha256"),
    _ref("account_id", "account"),
    _int("received_ms"),
    sa.Column("expires_ms", Big),
    _ref("thread_id", "thread", index=True),
    _text("state"),  # gateway/campaigns/intake.py: active, parked, superseded, cancelled, logged, failed
    _text("note", ""),
    sa.UniqueConstraint("sender", "identifier"),
    sa.Index(
        "ix_alert_parked",
        "id",
        "account_id",
        sqlite_where=sa.text("state = 'parked'"),
        postgresql_where=sa.text("state = 'parked'"),
    ),
)

alert_finding = sa.Table(
    "alert_finding",  # what was found of an alert when it came, apart from it: threads are read often, this is not
    metadata,
    sa.Column("alert_id", Big, sa.ForeignKey("alert.id", ondelete="CASCADE"), primary_key=True),
    _text("version"),  # of CAP, as it was sent
    _text("signature"),  # verified, unverifiable, absent, unchecked
    _text("reason", ""),  # why it was not verified
    _text("signer", ""),  # the names in the certificate whose key signed
    _text("certificate", ""),  # its SHA-256, hexadecimal
    _text("warnings", "[]"),  # JSON: all that was told and did not refuse it
    _text("envelope_name", ""),  # of EDXL-DE: version, sender and identifier
    sa.Column("envelope", sa.LargeBinary),  # byte for byte as received; null: the alert came by itself
)

refused_document = sa.Table(
    "refused_document",  # what was refused at the door for what it says, for a while: nothing of it was ever acted on
    metadata,
    _id(),
    sa.Column("public_id", sa.Text, nullable=False, unique=True),
    _ref("account_id", "account"),
    _text("sender"),  # as it says; empty where that cannot be read
    _text("identifier"),
    _int("first_ms"),
    _int("last_ms"),  # the same bytes may have come again
    _int("times"),
    _int("status"),  # of HTTP, as the last three: of the last time
    _text("code"),
    _text("title"),
    _text("problems"),  # JSON
    _text("sha256"),
    _int("size"),  # bytes as received
    sa.Column("document", sa.LargeBinary, nullable=False),  # the body as received, zlib
    sa.UniqueConstraint("account_id", "sha256"),
    sa.Index("ix_refused_document_account_id_last_ms", "account_id", "last_ms"),
    sa.Index("ix_refused_document_last_ms", "last_ms"),
)

alert_reference = sa.Table(
    "alert_reference",
    metadata,
    sa.Column("alert_id", Big, sa.ForeignKey("alert.id"), primary_key=True),
    sa.Column("sender", sa.Text, primary_key=True),
    sa.Column("identifier", sa.Text, primary_key=True),
    _int("sent_ms"),
    sa.Index("ix_alert_reference_sender_identifier", "sender", "identifier"),
)

alert_zone = sa.Table(
    "alert_zone",  # what became of the alert in each zone it touches: a campaign or a refusal
    metadata,
    sa.Column("alert_id", Big, sa.ForeignKey("alert.id"), primary_key=True),
    sa.Column("zone_id", Big, sa.ForeignKey("zone.id"), primary_key=True),
    _ref("campaign_id", "campaign", nullable=True),
    _text("refusal", ""),
)

campaign = sa.Table(
    "campaign",
    metadata,
    _id(),
    sa.Column("public_id", sa.Text, nullable=False, unique=True),
    # Zone, thread and account are null of a notice alone (store/notices): no statement that asks for a zone finds it.
    _ref("zone_id", "zone", index=True, nullable=True),
    _ref("alert_id", "alert", index=True, nullable=True),
    _ref("thread_id", "thread", index=True, nullable=True),
    _ref("account_id", "account", nullable=True),
    _ref("behalf_id", "account", nullable=True),  # whose decision it was; null: that of who launched it
    _text("purpose"),  # alert, update, cancel, message, notice
    _text("title"),
    _text("kind"),
    _text("mode"),
    _text("state"),
    _int("epoch", 0),
    _int("priority"),  # 0 first
    _text("crash_policy"),  # resend, report
    _int("weight", 1),  # share between zones
    _int("created_ms"),
    _int("starts_ms"),
    _int("expires_ms"),
    _int("horizon_ms"),  # how long after the last sending receipts are waited for
    sa.Column("ended_ms", Big),  # nothing was left to send
    sa.Column("sealed_ms", Big),
    _text("targets"),  # JSON: what was asked for
    _text("counts", "{}"),  # JSON: persons resolved, included, excluded and covered with reasons
    _int("reserved_millieuro", 0),
    _int("settled_millieuro", 0),
    sa.Column("report", sa.Text),  # JSON, once sealed
    # It came with a copy of the store and was given up then: whom it had still to tell may have been told since.
    sa.Column("retired_ms", Big),
    sa.Column("cleared_ms", Big),  # its deliveries are gone: their time was over (store/retention.py)
    sa.Column("break_glass_use_id", Big),  # of what was launched by a paper code
    sa.Index("ix_campaign_sealed_ms", "sealed_ms"),
    sa.Index(
        "ix_campaign_uncleared",
        "sealed_ms",
        sqlite_where=sa.text("cleared_ms IS NULL AND sealed_ms IS NOT NULL"),
        postgresql_where=sa.text("cleared_ms IS NULL AND sealed_ms IS NOT NULL"),
    ),
    sa.Index(
        "ix_campaign_unsealed",
        "state",
        sqlite_where=sa.text("sealed_ms IS NULL"),
        postgresql_where=sa.text("sealed_ms IS NULL"),
    ),
    sa.Index(
        "ix_campaign_unended",
        "state",
        sqlite_where=sa.text("ended_ms IS NULL"),
        postgresql_where=sa.text("ended_ms IS NULL"),
    ),
)

idempotency = sa.Table(
    "idempotency",  # what an account has asked for under a key of its own: once, however often it asks
    metadata,
    sa.Column("account_id", Big, sa.ForeignKey("account.id"), primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    _text("sha256"),  # of what was asked for; empty: of before that was kept
    _ref("campaign_id", "campaign", index=True),
    _int("at_ms"),
)

campaign_replaces = sa.Table(
    "campaign_replaces",  # an Update or a Cancel, and the campaigns of its thread that it ends
    metadata,
    sa.Column("campaign_id", Big, sa.ForeignKey("campaign.id"), primary_key=True),
    sa.Column("replaced_id", Big, sa.ForeignKey("campaign.id"), primary_key=True),
)

campaign_text = sa.Table(
    "campaign_text",
    metadata,
    sa.Column("campaign_id", Big, sa.ForeignKey("campaign.id"), primary_key=True),
    sa.Column("channel", sa.Text, primary_key=True),
    sa.Column("language", sa.Text, primary_key=True),
    _text("content"),  # JSON, gateway/texts
    _int("units"),
    _int("price_millieuro"),  # of one message
)

audience = sa.Table(
    "audience",
    metadata,
    sa.Column("campaign_id", Big, sa.ForeignKey("campaign.id"), primary_key=True),
    sa.Column("blob", sa.LargeBinary, nullable=False),  # gateway/directory/audience.py, versioned
    _text("sha256"),
)

expansion = sa.Table(
    "expansion",  # how far the frozen audience of a channel has become deliveries and batches
    metadata,
    sa.Column("campaign_id", Big, sa.ForeignKey("campaign.id"), primary_key=True),
    sa.Column("channel", sa.Text, primary_key=True),
    _int("first_seq"),
    _int("size"),
    _int("expanded_upto", 0),
    sa.Column("waits_from", Big),  # entries from here on were in hand when they were cancelled
    sa.Column("tag", sa.Float, nullable=False),  # the fair tag at which it starts
    sa.Index(
        "ix_expansion_unfinished",
        "campaign_id",
        sqlite_where=sa.text("expanded_upto < size"),
        postgresql_where=sa.text("expanded_upto < size"),
    ),
)

# ---- the outbox ------------------------------------------------------------------------------------------

delivery = sa.Table(
    "delivery",
    metadata,
    _given_id(),  # campaign << 24 | seq
    _text("channel"),
    _int("member_id"),
    _int("contact_id"),
    _text("address"),
    _text("language"),
    sa.Column("units", sa.SmallInteger, nullable=False),
    sa.Column("price_millieuro", sa.Integer, nullable=False),
    sa.Column("state", sa.SmallInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("attempts", sa.SmallInteger, nullable=False, server_default=sa.text("0")),
    _int("round", 0),  # the round of its batch in which it was last settled
    sa.Column("charged", sa.SmallInteger, nullable=False, server_default=sa.text("0")),
    # 1: of some attempt of it nobody has said what became of it (rows of `doubt`)
    sa.Column("doubted", sa.SmallInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("carrier", sa.Text),
    sa.Column("code", sa.Text),
    sa.Column("text", sa.Text),
    sa.Column("sent_ms", Big),
    sa.Column("changed_ms", Big),
    sa.Column("due_ms", Big),  # of what a carrier put off: not before
)

doubt = sa.Table(
    "doubt",  # an attempt of which nobody has said what became of it; few, and looked up by address
    metadata,
    sa.Column("delivery_id", Big, primary_key=True, autoincrement=False),
    sa.Column("round", Big, primary_key=True, autoincrement=False),  # of its batch, in which it was handed over
    _int("attempt"),  # the number that its reference bears
    sa.Column("carrier", sa.Text),  # null: its worker died with it in hand
    _text("address"),
    _int("handed_ms"),  # it left no earlier than this
    sa.Column("state", sa.SmallInteger, nullable=False, server_default=sa.text("0")),  # store/outbox/doubts.py
    sa.Column("parts", sa.SmallInteger),  # that a carrier may have at most; null: as many as its delivery has units
    sa.Index(
        "ix_doubt_address",
        "address",
        sqlite_where=sa.text("state = 0"),
        postgresql_where=sa.text("state = 0"),
    ),
)

batch = sa.Table(
    "batch",
    metadata,
    _id(),
    _ref("campaign_id", "campaign", index=True),
    _text("channel"),
    _text("mode"),
    _int("priority"),
    # 0: the first deliveries of an urgent campaign on this channel, and nobody of them has been told yet
    sa.Column("turn", sa.SmallInteger, nullable=False, server_default=sa.text("1")),
    sa.Column("tag", sa.Float, nullable=False),  # the fair tag at which it starts
    _int("first"),
    _int("last"),
    _int("cursor"),
    sa.Column("state", sa.SmallInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("due_ms", Big),  # waiting: when it comes back; leased: when the lease ends
    # 1: each of its rows waits until nothing of what its campaign replaces is in hand to the same address
    sa.Column("waits", sa.SmallInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("node", sa.Text),
    _int("lease", 0),  # fencing token: one more with every claim
    sa.Column("claimed_ms", Big),
    _int("round", 0),
    _int("stalls", 0),  # rounds in a row that ended before anybody was in hand
    _int("losses", 0),  # rounds in a row of which nobody who was in hand was told of
    sa.Index(
        "ix_batch_ready",
        "channel",
        "mode",
        "priority",
        "turn",
        "tag",
        sqlite_where=sa.text("state = 0"),
        postgresql_where=sa.text("state = 0"),
    ),
    sa.Index(
        "ix_batch_begins",
        "channel",
        "mode",
        "turn",
        "priority",
        "tag",
        sqlite_where=sa.text("state = 0 AND turn = 0"),
        postgresql_where=sa.text("state = 0 AND turn = 0"),
    ),
    sa.Index(
        "ix_batch_due",
        "due_ms",
        sqlite_where=sa.text("state IN (1, 2)"),
        postgresql_where=sa.text("state IN (1, 2)"),
    ),
    sa.Index(
        "ix_batch_leased",
        "channel",
        "mode",
        "priority",
        sqlite_where=sa.text("state = 1"),
        postgresql_where=sa.text("state = 1"),
    ),
    sa.Index(
        "ix_batch_open",
        "campaign_id",
        sqlite_where=sa.text("state <> 3"),
        postgresql_where=sa.text("state <> 3"),
    ),
    sa.Index(
        "ix_batch_waits",
        "campaign_id",
        "channel",
        sqlite_where=sa.text("waits = 1"),
        postgresql_where=sa.text("waits = 1"),
    ),
)

carrier_ref = sa.Table(
    "carrier_ref",
    metadata,
    _id(),
    _text("carrier"),
    _text("ref"),
    _int("delivery_id"),
    sa.Column("attempt", sa.Integer, nullable=False),  # the round of its batch in which it was sent
    sa.Column("part", sa.SmallInteger, nullable=False),
    sa.Column("parts", sa.SmallInteger, nullable=False),
    sa.Column("state", sa.SmallInteger, nullable=False, server_default=sa.text("0")),
    # 0 outstanding, 1 delivered, 2 failed, 3 expired. Indexed whole: a receipt that comes twice, or says after
    # a failure that it arrived after all, must find its part.
    sa.Index("ix_carrier_ref_carrier_ref", "carrier", sa.text("lower(ref)")),
    # In the order of the deliveries, so it grows at one end; a settle that is repeated finds its rows here.
    sa.UniqueConstraint("delivery_id", "carrier", "ref", "part"),
)

receipt_inbox = sa.Table(
    "receipt_inbox",  # receipts that match nothing yet: the peer was quicker than our own record
    metadata,
    _id(),
    _text("carrier"),
    _text("ref"),
    _text("state"),
    _int("at_ms"),
    _int("received_ms"),
    sa.Column("destination", sa.Text),
    _text("alternatives", "[]"),
    _text("code", ""),
    _text("text", ""),
    _text("raw", ""),
    sa.Column("matched_ms", Big),
    _text("mode", "live"),  # of the carrier that brought it
    sa.Column("answers", Big),  # of a late answer: the delivery whose attempt it speaks of, and that one's number
    _int("attempt", 0),
    _int("due_ms", 0),  # not to be tried again before
    sa.Index(
        "ix_receipt_inbox_due",
        "due_ms",
        "id",
        sqlite_where=sa.text("matched_ms IS NULL"),
        postgresql_where=sa.text("matched_ms IS NULL"),
    ),
    sa.Index(
        "ix_receipt_inbox_matched",
        "matched_ms",
        sqlite_where=sa.text("matched_ms IS NOT NULL"),
        postgresql_where=sa.text("matched_ms IS NOT NULL"),
    ),
    sa.Index(
        "ix_receipt_inbox_open",
        "carrier",
        "ref",
        sqlite_where=sa.text("matched_ms IS NULL"),
        postgresql_where=sa.text("matched_ms IS NULL"),
    ),
    sa.Index(
        "ix_receipt_inbox_waiting",
        "received_ms",
        "id",
        sqlite_where=sa.text("matched_ms IS NULL"),
        postgresql_where=sa.text("matched_ms IS NULL"),
    ),
    sa.Index(
        "ix_receipt_inbox_destination",
        "destination",
        sqlite_where=sa.text("matched_ms IS NULL"),
        postgresql_where=sa.text("matched_ms IS NULL"),
    ),
    sa.Index(
        "ix_receipt_inbox_answers",
        "answers",
        sqlite_where=sa.text("matched_ms IS NULL AND answers IS NOT NULL"),
        postgresql_where=sa.text("matched_ms IS NULL AND answers IS NOT NULL"),
    ),
)

progress = sa.Table(
    "progress",
    metadata,
    sa.Column("campaign_id", Big, sa.ForeignKey("campaign.id"), primary_key=True),
    sa.Column("channel", sa.Text, primary_key=True),
    _int("queued", 0),
    _int("retry", 0),
    _int("unknown", 0),
    _int("accepted", 0),
    _int("delivered", 0),
    _int("failed", 0),
    _int("expired", 0),
    _int("cancelled", 0),
    _int("not_needed", 0),
    _int("charged_millieuro", 0),
    _int("resent", 0),
    sa.Column("first_sent_ms", Big),
    sa.Column("last_sent_ms", Big),
    _int("revision", 0),
    # Of the counters that the sealed report and its addenda tell; null until the seal. In no index: an engine writes
    # a row of counters in place only where no index knows what has changed.
    sa.Column("told_revision", Big),
)

slot = sa.Table(
    "slot",
    metadata,
    sa.Column("ceiling", sa.Text, primary_key=True),  # a carrier account, or a shared one ("voice")
    sa.Column("mode", sa.Text, primary_key=True),
    _int("next_us"),  # microseconds UTC: at 2,500/s two slots stand 400 us apart
)

lane_clock = sa.Table(
    "lane_clock",  # virtual time of fair queueing between zones
    metadata,
    sa.Column("channel", sa.Text, primary_key=True),
    sa.Column("mode", sa.Text, primary_key=True),
    sa.Column("priority", Big, primary_key=True),
    sa.Column("vtime", sa.Float, nullable=False),
)

hold = sa.Table(
    "hold",
    metadata,
    _id(),
    sa.Column("public_id", sa.Text, nullable=False, unique=True),
    _text("scope"),  # all, channel, carrier, zone, campaign
    _text("subject", ""),  # the channel's or carrier's name, the zone's or campaign's internal id
    _text("reason", ""),
    _text("by", ""),
    _ref("account_id", "account", nullable=True),  # that placed it; null: somebody at the terminal, or a restore
    _int("at_ms"),
    _int("revision", 1),
    _text("changed_by", ""),
    _int("changed_ms", 0),
    _int("of_restore", 0),  # 1: of a campaign that came with a copy and is not decided; set by the restore alone
    sa.UniqueConstraint("scope", "subject"),
)

node = sa.Table(
    "node",
    metadata,
    sa.Column("boot_id", sa.Text, primary_key=True),
    _text("name"),
    _int("started_ms"),
    _int("seen_ms"),
    _text("carriers", "[]"),  # JSON: what each of its carriers said at the last sign of life (CarrierView)
)

# ---- money, broadcast, record ----------------------------------------------------------------------------

lot = sa.Table(
    "lot",  # prepaid money as it was bought
    metadata,
    _id(),
    _ref("zone_id", "zone", index=True),
    _text("reference"),  # of the order
    _int("amount_millieuro"),
    sa.Column("valid_until_ms", Big),  # null: without an end
    _int("at_ms"),
    sa.Column("expired_ms", Big),  # when its end was booked: from then on nothing of it is free
    sa.Index(
        "ix_lot_ends",
        "valid_until_ms",
        sqlite_where=sa.text("expired_ms IS NULL"),
        postgresql_where=sa.text("expired_ms IS NULL"),
    ),
)

booking = sa.Table(
    "booking",  # money moved at one instant for one reason: its entries sum to nothing (store/money/bookings.py)
    metadata,
    _id(),
    _ref("zone_id", "zone", index=True),
    _int("at_ms"),
    _text("what"),  # lot, expire, reserve, release, recall, cover, settle, addendum
    _ref("campaign_id", "campaign", nullable=True),
    _text("note", ""),
)

entry = sa.Table(
    "entry",
    metadata,
    _id(),
    _ref("booking_id", "booking", index=True),
    _ref("zone_id", "zone"),
    _text("account"),  # lot, reserved, spent, expired, operator
    _ref("lot_id", "lot", nullable=True),  # null: lent by the operator until a lot takes it over
    _ref("campaign_id", "campaign", index=True, nullable=True),
    _ref("network_id", "network", nullable=True),  # the network that pays
    _int("amount_millieuro"),  # signed
    _int("balance_millieuro"),  # what the account of the lot, or of the zone's loans, holds with it
    sa.Index("ix_entry_zone_id_lot_id_account_id", "zone_id", "lot_id", "account", "id"),
)

addendum = sa.Table(
    "addendum",  # what late receipts have moved since the seal of a report (gateway/reports/addenda.py)
    metadata,
    sa.Column("campaign_id", Big, sa.ForeignKey("campaign.id"), primary_key=True),
    sa.Column("number", Big, primary_key=True, autoincrement=False),
    _int("at_ms"),
    _text("document"),  # JSON
)

feed_entry = sa.Table(
    "feed_entry",
    metadata,
    _id(),
    sa.Column("alert_id", Big, sa.ForeignKey("alert.id"), nullable=False, unique=True),
    _int("published_ms"),
    sa.Column("expires_ms", Big),
    # The numbers of the feed's changes (store/feed.py): when it came in (null: it waits), when it was taken out.
    sa.Column("seq", Big),
    sa.Column("ended_seq", Big),
    sa.Column("ended_ms", Big),
    sa.Column("document", sa.LargeBinary),  # as it was published, for ever; null: byte for byte as it was received
    sa.Index("ix_feed_entry_seq", "seq", unique=True),
    sa.Index("ix_feed_entry_ended_seq", "ended_seq", unique=True),
    sa.Index("ix_feed_entry_expires_ms", "expires_ms"),
)

audit = sa.Table(
    "audit",
    metadata,
    _id(),
    _int("form", 1),  # what its hash is of (store/audit_line.py): 1 for lines of before there were columns of form 2
    _int("at_ms"),
    sa.Column("account_id", Big),  # null: somebody at the terminal, or the server by itself
    sa.Column("behalf_id", Big),  # form 2: the account on whose behalf
    sa.Column("zone_id", Big),  # form 2; null: of no zone, or of all
    _text("via", ""),  # form 2: http, cli; empty: the server by itself
    _text("action"),
    _text("subject"),
    _text("detail", "{}"),  # ids and words of the house: never changed, never a person's name
    _text("apart", ""),  # salted SHA-256 of what stands in `audit_detail`; empty: nothing does
    sa.Index("ix_audit_at_ms_id", "at_ms", "id"),
    *(sa.Index(f"ix_audit_{column}_at_ms_id", column, "at_ms", "id") for column in ("action", "subject")),
    *(
        sa.Index(
            f"ix_audit_{column}_at_ms_id",
            column,
            "at_ms",
            "id",
            sqlite_where=sa.text(f"{column} IS NOT NULL"),
            postgresql_where=sa.text(f"{column} IS NOT NULL"),
        )
        for column in ("account_id", "behalf_id", "zone_id")
    ),
)

audit_detail = sa.Table(
    "audit_detail",  # who it was and what it changed: may be erased, the line stays
    metadata,
    sa.Column("audit_id", Big, sa.ForeignKey("audit.id"), primary_key=True),
    _text("salt"),
    _text("detail"),  # JSON
)

audit_link = sa.Table(
    "audit_link",  # the chain over the lines (store/audit.py); a line whose time is over goes, its link stays
    metadata,
    sa.Column("no", Big, primary_key=True, autoincrement=False),
    _int("audit_id"),
    _text("line_sha256"),
    _text("hash"),
    sa.UniqueConstraint("audit_id"),
)

audit_reading = sa.Table(
    "audit_reading",  # readings of a quarter of an hour that are lines already (store/audit_reading.py)
    metadata,
    sa.Column("slot_ms", Big, primary_key=True, autoincrement=False),
    sa.Column("key", sa.Text, primary_key=True),
)

# ---- notices and alarms ------------------------------------------------------------------------------------------

notice = sa.Table(
    "notice",  # what the platform itself has told somebody, or would have: a campaign of no zone (store/notices)
    metadata,
    _id(),
    _ref("campaign_id", "campaign", nullable=True),  # null: every address had too many of them already
    _text("subject"),  # gateway/notices/notice.py
    sa.Column("dedupe", sa.Text),  # what is told under this is told once; null: each time
    _int("made_ms"),
    _int("recipients"),
    _int("held_back", 0),  # addresses that had too many already
    sa.Column("wiped_ms", Big),  # its words are gone: it is sealed, or a week is over
    sa.UniqueConstraint("campaign_id"),
    sa.UniqueConstraint("dedupe"),
    sa.Index(
        "ix_notice_unwiped",
        "made_ms",
        sqlite_where=sa.text("wiped_ms IS NULL"),
        postgresql_where=sa.text("wiped_ms IS NULL"),
    ),
)

notice_quota = sa.Table(
    "notice_quota",  # how much an address was told of a subject of late
    metadata,
    sa.Column("address", sa.Text, primary_key=True),
    sa.Column("subject", sa.Text, primary_key=True),
    _text("channel"),
    _text("language"),
    _int("hour_ms"),  # when the hour began that is counted
    _int("in_hour"),
    _int("day_ms"),
    _int("in_day"),
    _int("held_back", 0),  # since something was told last
    sa.Index(
        "ix_notice_quota_held_back",
        "hour_ms",
        sqlite_where=sa.text("held_back > 0"),
        postgresql_where=sa.text("held_back > 0"),
    ),
    sa.Index("ix_notice_quota_day_ms", "day_ms"),
)

alarm = sa.Table(
    "alarm",  # what is not well with the machine, and how far its operators know of it
    metadata,
    sa.Column("key", sa.Text, primary_key=True),  # kind and what it is about: carrier-down/sms/first
    _text("kind"),  # gateway/operations/alarms.py
    _text("about"),
    _text("state"),  # rising, standing, falling, over
    _text("value", ""),  # as it was found last
    _int("since_ms"),  # it has been in this state
    _int("raised_ms", 0),
    _int("seen_ms"),  # it was looked at last
    _text("path", ""),  # by which it was told last: email, sms, webhook
    _text("tried", ""),  # those by which it was told, a blank between two
    _int("told_ms", 0),
    sa.Column("campaign_id", Big),  # of the notice by which it was told last
    sa.Column("call_id", Big),  # of the webhook by which it was told last
    sa.Column("confirmed_ms", Big),  # the path has taken it
)

webhook_call = sa.Table(
    "webhook_call",
    metadata,
    _id(),
    sa.Column("public_id", sa.Text, nullable=False, unique=True),
    _text("type"),
    _text("body"),  # JSON
    _int("made_ms"),
    sa.Column("due_ms", Big),  # null: it was taken, or given up
    _int("attempts", 0),
    sa.Column("taken_ms", Big),
    _text("error", ""),  # of the last attempt
    sa.Index(
        "ix_webhook_call_due_ms",
        "due_ms",
        sqlite_where=sa.text("due_ms IS NOT NULL"),
        postgresql_where=sa.text("due_ms IS NOT NULL"),
    ),
    sa.Index("ix_webhook_call_made_ms", "made_ms"),
)

outside = sa.Table(
    "outside",  # what was answered last by what lies outside and is asked for by itself: ping, webhook
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    _int("ok_ms", 0),
    _int("failed_ms", 0),
    _text("detail", ""),
)
