// The page behind an invitation: what one signs in by is set up, and codes are kept for the day on which it is lost.

import { ask } from "./api.js";
import { button, el, sayingPlace } from "./dom.js";
import { addPasskey, codesShown, newCodes, offerTotp, passwordForm, totpForm } from "./factors.js";
import { begin, here, ownSession, show, takeToken } from "./frame.js";
import { hasPasskeys } from "./passkeys.js";
import { t } from "./texts.js";

await begin(start);
// Another link that is put into the address of the same page.
addEventListener("hashchange", start);

async function start() {
  const token = takeToken();
  if (token) return show(() => invited(token));
  const session = await ownSession();
  if (!session) show(withoutLink);
  else if (session.enrol_only) await enrol(session);
  else location.replace(here("/account"));
}

function invited(token) {
  return {
    title: t("invitation.title"),
    content: [
      el("p", {}, t("invitation.what")),
      el("p", {}, t("invitation.once")),
      sayingPlace(),
      el("div", { class: "buttons" },
        button(t("invitation.begin"), async () => enrol((await ask("POST", "/api/v1/invitations/accept", { body: { token } })).value), "primary")),
      signInLink(),
    ],
  };
}

function withoutLink() {
  return { title: t("link.none"), content: [el("p", {}, t("invitation.none")), signInLink()] };
}

/** Begins where it was left: a password that stands there already wants its app for codes. */
async function enrol(session) {
  const { value: factors } = await ask("GET", "/api/v1/me/factors");
  const whose = session.name || session.account;
  if (factors.password_set && !factors.totp_set) await withTotp(session);
  else show(() => choosing(session, whose));
}

function choosing(session, whose) {
  const next = (led) => (led.session ? show(() => enough(led.session)) : withTotp(session));
  const form = passwordForm(session.account, next, t("invitation.password-button"), { kind: hasPasskeys() ? "" : "primary" });
  return {
    title: t("invitation.choose"),
    content: [
      el("p", {}, t("invitation.whose", { name: whose, account: session.account })),
      hasPasskeys() && el("section", { class: "card" },
        el("h2", {}, t("invitation.passkey")),
        el("p", {}, t("passkey.what")),
        sayingPlace(),
        el("div", { class: "buttons" }, button(t("passkey.make"), async () => next(await addPasskey("")), "primary"))),
      el("section", { class: "card" },
        el("h2", {}, t("invitation.password")),
        el("p", {}, t("invitation.password-what")),
        form),
    ],
  };
}

async function withTotp(session) {
  const offer = await offerTotp();
  show(() => ({
    title: t("totp.title"),
    content: [
      el("p", {}, t("totp.what")),
      totpForm(offer, (led) => show(() => enough(led.session ?? session)),
        button(t("totp.passkey"), () => show(() => choosing(session, session.name || session.account)), "plain")),
    ],
  }));
}

function enough(session) {
  return {
    title: t("codes.title"),
    content: [
      el("p", {}, t("codes.why")),
      sayingPlace(),
      el("div", { class: "buttons" }, button(t("codes.make"), async () => withCodes(session, await newCodes()), "primary")),
    ],
  };
}

function withCodes(session, codes) {
  show(() => ({ title: t("codes.title"), content: codesShown(session.account, codes, () => show(done)) }));
}

function done() {
  return {
    title: t("invitation.done"),
    content: [
      el("p", {}, t("invitation.done-what", { site: location.host })),
      el("div", { class: "buttons" }, el("a", { class: "button primary", href: here("/account") }, t("invitation.go-on"))),
    ],
  };
}

function signInLink() {
  return el("ul", { class: "ways" }, el("li", {}, el("a", { href: here("/sign-in") }, t("link.sign-in"))));
}
