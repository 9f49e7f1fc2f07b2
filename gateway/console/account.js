// One's own account: what waits for one's word, the profile, what one signs in by, sessions and keys.

import { ask, whenRefused } from "./api.js";
import { approvalSection, waiting } from "./approvals.js";
import { button, choice, el, field, form, listed, removal, sayingPlace } from "./dom.js";
import { addPasskey, codesShown, newCodes, offerTotp, passwordForm, totpForm } from "./factors.js";
import { begin, here, ownSession, show, speakAs, speakFrom } from "./frame.js";
import { askForFactor } from "./fresh_factor.js";
import { isByCode, showOpenZone } from "./open_zone.js";
import { hasPasskeys } from "./passkeys.js";
import { instant, t } from "./texts.js";

const own = { session: null, profile: null, version: "", factors: null, sessions: [], keys: [], approvals: null, told: "" };
const LANGUAGES = [["nl", "Nederlands"], ["fr", "Français"], ["de", "Deutsch"], ["en", "English"]];
const BROWSERS = [[/Edg\//, "Edge"], [/Firefox\//, "Firefox"], [/Chrom(e|ium)\//, "Chrome"], [/Safari\//, "Safari"]];
const SYSTEMS = [[/Android/, "Android"], [/iPhone|iPad/, "iOS"], [/Windows/, "Windows"], [/Mac OS X/, "macOS"], [/Linux/, "Linux"]];

await begin(async () => {
  own.session = await ownSession();
  if (!own.session) return toSignIn();
  if (own.session.enrol_only) return location.replace(here("/invitation"));
  if (isByCode(own.session)) return showOpenZone(own.session);
  whenRefused({ freshFactor: (isLocked) => askForFactor(own.session.account, isLocked), gone: toSignIn });
  if (own.session.locked && !(await askForFactor(own.session.account, true))) return toSignIn();
  await load();
  show(account);
  await speakAs(own.profile);
  // A place of this page that an address names is there only now.
  if (location.hash === "#approvals") document.querySelector("#approvals h2")?.focus();
});

function toSignIn() {
  const address = new URL(here("/sign-in"), location.origin);
  address.searchParams.set("to", location.pathname + location.hash);
  location.replace(address);
}

async function load() {
  const [session, profile, factors, sessions, keys, whoami] = await Promise.all(
    ["sessions/current", "me", "me/factors", "sessions", "me/keys", "whoami"].map((path) => ask("GET", `/api/v1/${path}`)));
  Object.assign(own, {
    session: session.value, profile: profile.value, version: profile.version, factors: factors.value,
    sessions: sessions.value.sessions, keys: keys.value.keys, approvals: await waiting(whoami.value.rights),
  });
}

/** Does something to the account, and shows it as it is then. */
async function changed(told) {
  await load();
  own.told = told;
  show(account);
  own.told = "";
}

function account() {
  return {
    title: own.profile.name || own.profile.code,
    content: [
      el("div", { class: "top" },
        el("p", {}, own.profile.email ? t("account.whose-mail", { account: own.session.account, mail: own.profile.email }) : t("account.whose", { account: own.session.account })),
        button(t("account.sign-out"), signOut)),
      sayingPlace(),
      el("p", { class: "told", role: "status" }, own.told),
      own.approvals && approvalSection(own.approvals, own.profile.code, () => changed("")),
      profileSection(),
      passkeySection(),
      passwordSection(),
      codesSection(),
      sessionSection(),
      own.keys.length > 0 && keySection(),
    ],
  };
}

function section(title, ...content) {
  return el("section", { class: "card" }, el("h2", {}, title), sayingPlace(), ...content);
}

async function signOut() {
  await ask("DELETE", "/api/v1/sessions/current");
  location.replace(here("/sign-in"));
}

// ---- profile -------------------------------------------------------------------------------------------------------

function profileSection() {
  const { name, mobile, language } = own.profile;
  return el("section", { class: "card" }, el("h2", {}, t("profile.title")),
    form({
      fields: [
        field({ name: "name", words: t("profile.name"), value: name, autocomplete: "name" }),
        field({ name: "mobile", words: t("profile.mobile"), hint: t("profile.mobile-hint"), value: mobile, type: "tel", autocomplete: "tel" }),
        choice({ name: "language", words: t("profile.language"), options: LANGUAGES, value: language }),
      ],
      words: t("profile.button"),
      kind: "",
      send: saveProfile,
    }));
}

async function saveProfile(typed) {
  const before = own.profile;
  const body = Object.fromEntries(Object.entries(typed).filter(([name, value]) => value !== before[name]));
  if (body.mobile === "") body.mobile = null;
  await ask("PATCH", "/api/v1/me", { body, match: own.version });
  if (body.language) await speakFrom(body.language);
  await changed(t("account.saved"));
}

// ---- what one signs in by ------------------------------------------------------------------------------------------

function passkeySection() {
  const passkeys = own.factors.passkeys.map((one) => listed({
    name: one.name || t("passkey.unnamed"),
    facts: [
      t("passkey.made", { when: instant(one.made) }),
      one.used ? t("passkey.used", { when: instant(one.used) }) : t("passkey.unused"),
    ],
    end: [t("form.remove"), t("form.remove-sure"), async () => {
      await ask("DELETE", one.href);
      await changed(t("account.factor-changed"));
    }],
  }));
  return section(t("passkey.title"),
    el("p", {}, t("passkey.what")),
    passkeys.length > 0 && el("ul", { class: "list" }, passkeys),
    hasPasskeys() && form({
      fields: [field({ name: "label", words: t("passkey.name"), hint: t("passkey.name-hint"), autocomplete: "off", maxlength: "100" })],
      words: t("passkey.make"),
      kind: "",
      send: async ({ label }) => {
        await addPasskey(label.trim());
        await changed(t("account.factor-changed"));
      },
    }));
}

function passwordSection() {
  const { password_set: passwordSet, totp_set: totpSet } = own.factors;
  return section(t("password.title"),
    el("p", {}, passwordSet ? t("password.set", { when: instant(passwordSet) }) : t("password.none")),
    el("p", {}, totpSet ? t("totp.set", { when: instant(totpSet) }) : t("totp.none")),
    el("div", { class: "buttons" },
      button(t(passwordSet ? "password.change" : "password.begin"), () => show(settingPassword)),
      button(t(totpSet ? "totp.change" : "totp.begin"), settingTotp),
      totpSet && removal(t("totp.remove"), t("form.remove-sure"), async () => {
        await ask("DELETE", "/api/v1/me/totp");
        await changed(t("account.factor-changed"));
      })));
}

function settingPassword() {
  return {
    title: t("password.title"),
    content: [passwordForm(own.session.account, () => changed(t("account.factor-changed")), t("password.button"), { beside: backHere() })],
  };
}

async function settingTotp() {
  const offer = await offerTotp();
  show(() => ({
    title: t("totp.title"),
    content: [el("p", {}, t("totp.what")), totpForm(offer, () => changed(t("account.factor-changed")), backHere())],
  }));
}

function codesSection() {
  const { recovery_codes_left: left, recovery_codes_made: made } = own.factors;
  return section(t("codes.title"),
    el("p", {}, made ? t("codes.left", { left, when: instant(made) }) : t("codes.why")),
    el("div", { class: "buttons" }, button(t("codes.make"), async () => {
      const codes = await newCodes();
      show(() => ({ title: t("codes.title"), content: codesShown(own.session.account, codes, () => changed(t("account.codes-changed"))) }));
    })));
}

function backHere() {
  return button(t("form.back"), () => show(account), "plain");
}

// ---- sessions and keys ---------------------------------------------------------------------------------------------

function sessionSection() {
  const sessions = own.sessions.map((one) => listed({
    name: browser(one.agent),
    badge: one.current && t("session.current"),
    facts: [
      t("session.from", { address: one.address, when: instant(one.opened) }),
      t("session.until", { seen: instant(one.seen), ends: instant(one.ends) }),
    ],
    end: one.current ? null : [t("session.end"), t("session.end-sure"), async () => {
      await ask("DELETE", one.href);
      await changed(t("session.ended"));
    }],
  }));
  return section(t("session.title"), el("p", {}, t("session.what")), el("ul", { class: "list" }, sessions));
}

function keySection() {
  const keys = own.keys.map((one) => listed({
    name: one.name || one.id,
    badge: one.test && t("key.test"),
    facts: [t("key.id", { id: one.id }), keyState(one)],
    end: one.good ? [t("key.revoke"), t("key.revoke-sure"), async () => {
      await ask("POST", `/api/v1/me/keys/${encodeURIComponent(one.id)}/revoke`);
      await changed(t("key.revoked-now"));
    }] : null,
  }));
  return section(t("key.title"), el("p", {}, t("key.what")), el("ul", { class: "list" }, keys));
}

function keyState(key) {
  if (key.revoked) return t("key.revoked", { when: instant(key.revoked) });
  if (!key.expires) return t("key.endless");
  return t(key.good ? "key.until" : "key.ended", { when: instant(key.expires) });
}

/** What a browser calls itself, in two words where they are known. */
function browser(agent) {
  const named = (table) => table.find(([mark]) => mark.test(agent))?.[1];
  return [named(BROWSERS), named(SYSTEMS)].filter(Boolean).join(", ") || agent.slice(0, 60) || t("session.program");
}
