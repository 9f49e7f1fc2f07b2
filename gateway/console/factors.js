// Setting up what one signs in by: a passkey, a password, an app for codes, recovery codes.

import { ask } from "./api.js";
import { button, el, field, form, keptName, sayingPlace } from "./dom.js";
import { digits } from "./fresh_factor.js";
import { creation } from "./passkeys.js";
import { instant, t } from "./texts.js";

/** Makes a passkey on this device, with the name that its owner gives it. What it led to. */
export async function addPasskey(name) {
  const { value } = await ask("POST", "/api/v1/me/passkeys", { body: await creation(name) });
  return value;
}

/** A form for a first or another password; `done` is given what it led to. */
export function passwordForm(account, done, words, { kind = "primary", beside = [] } = {}) {
  return form({
    fields: [keptName(account), newPasswordField()],
    words,
    kind,
    send: async ({ password }) => done((await ask("PUT", "/api/v1/me/password", { body: { password } })).value),
    beside,
  });
}

export function newPasswordField() {
  return field({
    name: "password", words: t("password.new"), hint: t("password.hint"), type: "password", autocomplete: "new-password",
    required: true, minlength: "12",
  });
}

/** The secret of an app for codes, to be read by it or typed, and its first code. */
export async function offerTotp() {
  return (await ask("POST", "/api/v1/me/totp")).value;
}

export function totpForm(offer, done, beside = []) {
  return [
    el("ol", { class: "steps" },
      el("li", {}, t("totp.app")),
      el("li", {}, t("totp.scan"), qrCode(offer),
        el("p", {}, el("a", { href: offer.otpauth }, t("totp.open"))),
        el("p", {}, t("totp.type"), " ", el("code", { class: "secret" }, offer.secret.match(/.{1,4}/g).join(" ")))),
      el("li", {}, t("totp.confirm"))),
    form({
      fields: [
        field({
          name: "code", words: t("totp.code"), inputmode: "numeric", autocomplete: "one-time-code", maxlength: "7",
          class: "short", required: true,
        }),
      ],
      words: t("totp.button"),
      send: async ({ code }) => done((await ask("POST", "/api/v1/me/totp/confirm", { body: { code: digits(code) } })).value),
      beside,
    }),
  ];
}

const SVG = "http://www.w3.org/2000/svg";

function qrCode({ qr_path: path, qr_size: size }) {
  const drawn = (tag, attributes) => {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  };
  const picture = drawn("svg", { viewBox: `0 0 ${size} ${size}`, class: "qr", role: "img", "aria-label": t("totp.picture") });
  picture.append(
    drawn("rect", { width: size, height: size, fill: "#fff" }),
    drawn("path", { d: path, stroke: "#000", fill: "none", "shape-rendering": "crispEdges" }),
  );
  return picture;
}

/** Ten new codes, which are shown this once; those before are worth nothing. */
export async function newCodes() {
  return (await ask("POST", "/api/v1/me/recovery-codes")).value.codes;
}

/** The codes with a way to keep them; `done` is called by who has kept them. */
export function codesShown(account, codes, done) {
  return [
    el("p", {}, t("codes.what")),
    el("div", { class: "codes" },
      el("p", { class: "on-paper" }, t("codes.paper", { account, site: location.host, when: instant(Date.now()) })),
      el("ol", {}, codes.map((code) => el("li", {}, el("code", {}, code))))),
    sayingPlace(),
    el("div", { class: "buttons" },
      button(t("codes.print"), () => window.print()),
      copier(codes)),
    el("div", { class: "buttons" }, button(t("codes.kept"), done, "primary")),
  ];
}

function copier(codes) {
  const told = el("span", { role: "status" });
  const node = button(t("codes.copy"), async () => {
    await navigator.clipboard.writeText(codes.join("\n"));
    told.textContent = t("codes.copied");
  });
  return navigator.clipboard ? [node, told] : [];
}
