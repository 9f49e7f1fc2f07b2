// What one administrator has asked for and another decides: rights to warn people or to rule accounts take two.

import { ask } from "./api.js";
import { button, el, field, listed, removal, say, sayingPlace } from "./dom.js";
import { show } from "./frame.js";
import { instant, t } from "./texts.js";

const PATH = "/api/v1/approvals";
const ACTS = {
  "open-account": "act.open", "enable-account": "act.enable", "set-rights": "act.rights", "make-key": "act.key",
  "reset-factors": "act.reset", "set-address": "act.address",
};
const DOES = {
  submit: "right.submit", launch: "right.launch", read: "right.read", stop: "right.stop", publish: "right.publish",
  operate: "right.operate", audit: "right.audit", administer: "right.administer",
};
const ONLY = {
  alert: "only.alert", preventive: "only.preventive", news: "only.news", info: "only.info", sms: "only.sms",
  email: "only.email", voice: "only.voice", live: "only.live", simulation: "only.simulation",
};
const STATES = {
  done: "approval.done", refused: "approval.refused", withdrawn: "approval.withdrawn", expired: "approval.expired",
};
const MOOT = {
  asker: "moot.asker", account: "moot.account", rights: "moot.rights", place: "moot.place",
};

/** What waits, as far as it is any business of an account with these rights; null where nothing is. */
export async function waiting(rights) {
  if (!rights.some((right) => right.action === "administer")) return null;
  return (await ask("GET", `${PATH}?open=1`)).value;
}

/** What waits, in a section of the page. `own`: the account that looks at it; `back` shows the page as it is then. */
export function approvalSection({ approvals, next }, own, back) {
  const shown = approvals.map((one) => listed({
    name: one.accounts.join(", "),
    badge: one.asked_by === own && t("approval.own"),
    facts: [askedBy(one), term(one)],
    look: [t("approval.look"), async () => look(one.href, own, back)],
  }));
  return el("section", { class: "card", id: "approvals" },
    el("h2", { tabindex: "-1" }, t("approval.title")),
    sayingPlace(),
    el("p", {}, t(shown.length ? "approval.what" : "approval.nothing")),
    shown.length > 0 && el("ul", { class: "list" }, shown),
    next && el("p", {}, t("approval.more")));
}

function askedBy({ asked_by: by, behalf, asked }) {
  const facts = { by, behalf, when: instant(asked) };
  return behalf ? t("approval.asked-behalf", facts) : t("approval.asked", facts);
}

/** Until when it waits, or when it is done without anybody else. */
function term({ not_before: notBefore, ends, asked_by: by }) {
  return notBefore ? t("approval.alone", { by, when: instant(notBefore) }) : t("approval.until", { when: instant(ends) });
}

// ---- one of them ---------------------------------------------------------------------------------------------------

async function look(href, own, back) {
  const { value } = await ask("GET", href);
  show(() => inFull(value, own, back));
}

function inFull(one, own, back) {
  const isOpen = one.state === "asked" || one.state === "granted";
  return {
    title: isOpen ? t("approval.look-title") : t(STATES[one.state]),
    content: [
      sayingPlace(),
      el("p", {}, askedBy(one)),
      isOpen ? el("p", {}, el("strong", {}, term(one))) : became(one),
      one.acts.map(act),
      isOpen && deciding(one, own, back),
      el("div", { class: "buttons" }, button(t("form.back"), back, "plain")),
    ],
  };
}

function became(one) {
  return [
    one.decided && el("p", {}, one.decided_by ? t("approval.decided", { by: one.decided_by, when: instant(one.decided) }) : instant(one.decided)),
    one.moot && el("p", {}, t(MOOT[one.moot])),
    one.reason && el("p", {}, t("approval.reason-was", { reason: one.reason })),
  ];
}

function act(one) {
  const isDangerous = new Set(one.dangerous?.map((right) => right.text));
  const rights = (one.rights ?? []).map((right) =>
    el("li", {}, words(right), isDangerous.has(right.text) && el("span", { class: "mark" }, t("approval.dangerous"))));
  const taken = (one.taken ?? []).map((right) => el("li", {}, words(right)));
  const named = [one.account, one.name].filter(Boolean).join(", ");
  return el("section", { class: "card" },
    el("h2", {}, t(ACTS[one.what], { account: named })),
    one.email && el("p", {}, t("act.mailbox", { mail: one.email })),
    one.key_id && el("p", {}, [t("key.id", { id: one.key_id }), one.note, one.expires ? t("key.until", { when: instant(one.expires) }) : t("key.endless")].filter(Boolean).join(". ")),
    rights.length > 0 && [el("p", {}, t("approval.rights")), el("ul", { class: "rights" }, rights)],
    taken.length > 0 && [el("p", {}, t("approval.taken")), el("ul", { class: "rights" }, taken)]);
}

/** A right in words; one that this page does not know in those of the API. */
function words(right) {
  if (!DOES[right.action]) return right.text;
  const { zone, network } = right;
  const where = zone === null ? t("right.everywhere") : t(network === null ? "right.zone" : "right.network", { zone, network });
  const only = [right.kind, right.channel, right.mode].filter((one) => one !== "*").map((one) => (ONLY[one] ? t(ONLY[one]) : one));
  return [t("right.at", { does: t(DOES[right.action]), where }), ...only].join(", ");
}

function deciding(one, own, back) {
  const isOwn = one.asked_by === own;
  if (!one.decidable && !isOwn) return el("p", {}, t("approval.not-yours"));
  if (isOwn) {
    return el("section", { class: "card" },
      el("p", {}, t(one.not_before ? "approval.own-alone" : "approval.own-what")),
      sayingPlace(),
      el("div", { class: "buttons" },
        removal(t("approval.withdraw"), t("approval.withdraw-sure"), () => step(one, own, back, "withdraw"), { class: "" })));
  }
  // No form: who presses Enter in the field has decided nothing.
  const reason = field({ name: "reason", words: t("approval.reason"), hint: t("approval.reason-hint"), autocomplete: "off", maxlength: "500" });
  const decide = (grant) => step(one, own, back, "decision", { grant, digest: one.digest, reason: reason.querySelector("input").value.trim() });
  return el("section", { class: "card" },
    el("h2", {}, t("approval.decide")),
    el("p", {}, t("approval.decide-what")),
    sayingPlace(),
    reason,
    el("div", { class: "buttons" },
      button(t("approval.grant"), () => decide(true)),
      button(t("approval.refuse"), () => decide(false))));
}

/** A step, and what has become of it; also where somebody else was there before. */
async function step(one, own, back, what, body) {
  try {
    const { value } = await ask("POST", `${one.href}/${what}`, { body });
    show(() => inFull(value, own, back));
  } catch (problem) {
    if (problem.status !== 409) throw problem;
    await look(one.href, own, back);
    say(document.querySelector("main > .said"), problem);
  }
}
