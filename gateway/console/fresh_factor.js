// A factor shown again: where a session is locked, and before what may do great harm. What was begun goes on after it.

import { ask } from "./api.js";
import { button, el, field, form, keptName } from "./dom.js";
import { assertion, hasPasskeys } from "./passkeys.js";
import { t } from "./texts.js";

/** The ways to show a factor in a session of this account; `done` is called after one. */
export function freshFactor({ account, isLocked, done }) {
  const path = `/api/v1/sessions/current/${isLocked ? "unlock" : "step-up"}`;
  const shown = async (body) => done((await ask("POST", path, { body, directly: true })).value);
  const words = t(isLocked ? "unlock.button" : "step-up.button");
  return [
    hasPasskeys() && el("div", { class: "buttons" }, button(t("passkey.show"), async () => shown({ passkey: await assertion() }), "primary")),
    hasPasskeys() && el("p", { class: "or" }, t("form.or")),
    form({
      fields: [keptName(account), passwordField(), codeField()],
      words,
      kind: hasPasskeys() ? "" : "primary",
      send: ({ password, code }) => shown({ password, code: digits(code) }),
    }),
  ];
}

/** Asks for a factor in a dialog over the page; whether one was shown. */
export function askForFactor(account, isLocked) {
  return new Promise((settle) => {
    const dialog = el(
      "dialog",
      { "aria-labelledby": "dialog-title", onclose: () => { dialog.remove(); settle(dialog.returnValue === "done"); } },
      el("h2", { id: "dialog-title" }, t(isLocked ? "unlock.title" : "step-up.title")),
      el("p", {}, t(isLocked ? "unlock.why" : "step-up.why")),
      el("div", { class: "said", role: "alert" }),
      freshFactor({ account, isLocked, done: () => dialog.close("done") }),
      el("div", { class: "buttons" }, el("button", { type: "button", class: "plain", onclick: () => dialog.close("") }, t("form.cancel"))),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

export function passwordField() {
  return field({ name: "password", words: t("sign-in.password"), type: "password", autocomplete: "current-password", required: true });
}

export function codeField() {
  return field({
    name: "code", words: t("sign-in.code"), hint: t("sign-in.code-hint"), inputmode: "numeric",
    autocomplete: "one-time-code", maxlength: "7", class: "short",
  });
}

/** A code as it may be typed, with a space in the middle. */
export function digits(code) {
  return code.replace(/\s/g, "");
}
