// Signing in: a passkey, or a password with a code; a recovery code; a lost password; a zone's paper code; a session that
// is locked.

import { ask } from "./api.js";
import { button, el, field, form, say, sayingPlace } from "./dom.js";
import { begin, here, ownSession, show } from "./frame.js";
import { codeField, digits, freshFactor, passwordField } from "./fresh_factor.js";
import { usingPaperCode } from "./paper_code.js";
import { assertion, hasPasskeys, offerInField } from "./passkeys.js";
import { t } from "./texts.js";

await begin(async () => {
  const session = await ownSession();
  if (session?.locked) show(() => locked(session));
  else if (session) goOn(session);
  else start();
});

async function byPasskey() {
  try {
    await opened("/api/v1/sessions/passkey", await assertion());
  } catch (problem) {
    offerInField(fromField);
    throw problem;
  }
}

async function fromField(passkey) {
  await opened("/api/v1/sessions/passkey", passkey).catch((problem) => say(document.querySelector("main .said"), problem));
}

function signingIn() {
  return {
    title: t("sign-in.title"),
    content: [
      sayingPlace(),
      hasPasskeys() && [
        el("div", { class: "buttons" }, button(t("passkey.use"), byPasskey, "primary")),
        el("p", { class: "hint" }, t("passkey.what")),
        el("p", { class: "or" }, t("form.or")),
      ],
      form({
        fields: [accountField("username webauthn"), passwordField(), codeField()],
        words: t("sign-in.button"),
        kind: hasPasskeys() ? "" : "primary",
        send: ({ account, password, code }) =>
          opened("/api/v1/sessions/password", { account: account.trim(), password, code: digits(code) }),
      }),
      el("ul", { class: "ways" },
        el("li", {}, button(t("forgot.link"), () => show(forgotten), "plain")),
        el("li", {}, button(t("recovery.link"), () => show(recovering), "plain")),
        el("li", {}, button(t("paper.link"), () => show(usingPaperCode(() => show(signingIn))), "plain"))),
    ],
  };
}

function recovering() {
  return {
    title: t("recovery.title"),
    content: [
      el("p", {}, t("recovery.what")),
      form({
        fields: [
          accountField("username"),
          passwordField(),
          field({ name: "recovery_code", words: t("recovery.code"), autocomplete: "off", spellcheck: "false", autocapitalize: "characters", required: true }),
        ],
        words: t("sign-in.button"),
        send: (body) => opened("/api/v1/sessions/recovery", { ...body, account: body.account.trim() }),
        beside: button(t("form.back"), () => show(signingIn), "plain"),
      }),
    ],
  };
}

function forgotten() {
  return {
    title: t("forgot.title"),
    content: [
      el("p", {}, t("forgot.what")),
      form({
        fields: [field({ name: "mail", words: t("forgot.mail"), type: "email", autocomplete: "email", required: true })],
        words: t("forgot.button"),
        send: async ({ mail }) => {
          await ask("POST", "/api/v1/resets", { body: { mail: mail.trim() } });
          show(asked);
        },
        beside: button(t("form.back"), () => show(signingIn), "plain"),
      }),
    ],
  };
}

function asked() {
  return {
    title: t("forgot.asked"),
    content: [
      el("p", {}, t("forgot.asked-what")),
      el("div", { class: "buttons" }, button(t("form.back"), () => show(signingIn))),
    ],
  };
}

function locked(session) {
  return {
    title: t("unlock.title"),
    content: [
      el("p", {}, t("unlock.whose", { name: session.name || session.account })),
      el("p", {}, t("unlock.why")),
      sayingPlace(),
      freshFactor({ account: session.account, isLocked: true, done: goOn }),
      el("ul", { class: "ways" }, el("li", {}, button(t("unlock.other"), signOut, "plain"))),
    ],
  };
}

async function signOut() {
  await ask("DELETE", "/api/v1/sessions/current");
  start();
}

function start() {
  show(signingIn);
  offerInField(fromField);
}

function accountField(autocomplete) {
  return field({
    name: "account", words: t("sign-in.account"), autocomplete, required: true, autocapitalize: "none", spellcheck: "false",
  });
}

async function opened(path, body) {
  goOn((await ask("POST", path, { body })).value);
}

function goOn(session) {
  location.replace(session.enrol_only ? here("/invitation") : wayBack());
}

/** Where somebody wanted to go: a page of this site, whatever the address says. */
function wayBack() {
  const wanted = new URLSearchParams(location.search).get("to") ?? "";
  try {
    const address = new URL(wanted, location.origin);
    // Always with its origin: a path alone may begin with two slashes.
    if (wanted.startsWith("/") && address.origin === location.origin) return address.href;
  } catch {
    // It is no address.
  }
  return here("/account");
}
