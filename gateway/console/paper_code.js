// A zone's paper code, from the sheet of a sealed envelope: its zone is opened for an hour to this browser.

import { ask } from "./api.js";
import { button, el, field, form, oneOf, Said } from "./dom.js";
import { here } from "./frame.js";
import { t } from "./texts.js";

const LETTERS = 24;

/** The screen on which it is typed. What happens is said first, in the words of the sheet. `back` leaves it. */
export function usingPaperCode(back) {
  return () => ({
    title: t("paper.title"),
    content: [
      el("p", {}, t("paper.when")),
      el("ul", { class: "steps" }, [t("paper.hour"), t("paper.told"), t("paper.once")].map((one) => el("li", {}, one))),
      form({
        fields: [
          asOnSheet({ name: "zone", words: t("paper.zone"), hint: t("paper.zone-hint"), maxlength: "64" }),
          asOnSheet({ name: "code", words: t("paper.code"), hint: t("paper.code-hint"), maxlength: "100", class: "spelt" }),
          field({ name: "name", words: t("paper.name"), autocomplete: "name", maxlength: "100", required: true }),
          field({ name: "reason", words: t("paper.reason"), hint: t("paper.reason-hint"), autocomplete: "off", maxlength: "500", required: true }),
          oneOf({
            name: "mode",
            words: t("paper.mode"),
            options: [
              ["live", t("zone-open.live"), t("paper.live-what")],
              ["simulation", t("zone-open.rehearsal"), t("paper.rehearsal-what")],
            ],
          }),
        ],
        words: t("paper.button"),
        send,
        beside: button(t("form.back"), back, "plain"),
      }),
    ],
  });
}

function asOnSheet(more) {
  return field({ autocomplete: "off", autocapitalize: "characters", spellcheck: "false", required: true, ...more });
}

async function send({ zone, code, name, reason, mode }) {
  // Tries are few, and one that cannot be right is not worth one.
  const typed = code.replace(/[^0-9a-z]/gi, "").length;
  if (typed !== LETTERS) throw new Said(t("paper.not-whole", { typed }));
  const body = { zone: zone.trim(), code: code.trim(), name: name.trim(), reason: reason.trim(), mode };
  await ask("POST", "/api/v1/break-glass", { body });
  location.replace(here("/account"));
}
