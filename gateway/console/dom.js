// Elements and forms: plain DOM, so that whoever reads the page by ear or by keyboard has what the browser gives.

import { Problem, Offline } from "./api.js";
import { t } from "./texts.js";

let made = 0;

/** An element. Functions named on… are listeners; `true` is an attribute without a value; null and false are left out. */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false && value !== undefined) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** A button that does something, once at a time. What goes wrong is said in the nearest `.said`. */
export function button(words, act, kind = "") {
  const node = el("button", { type: "button", class: kind, onclick: () => once(node, act, saidNear(node)) }, words);
  return node;
}

/** A thing of a list: its name, a mark, what is to be known of it, what shows more of it, and what takes it away. */
export function listed({ name, badge = "", facts, look = null, end = null }) {
  const id = `listed-${++made}`;
  return el(
    "li",
    {},
    el("div", {},
      el("strong", { id }, name),
      badge && el("span", { class: "badge" }, badge),
      facts.map((fact) => el("span", {}, fact))),
    look && described(button(...look), id),
    end && removal(...end, { "aria-describedby": id }),
  );
}

function described(node, id) {
  node.setAttribute("aria-describedby", id);
  return node;
}

/** A button that takes something away: its first press asks, its second does it. */
export function removal(words, sure, act, attributes = {}) {
  const node = button(words, async () => {
    if (node.textContent === words) node.textContent = sure;
    else await act();
  }, "plain");
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.addEventListener("blur", () => (node.textContent = words));
  return node;
}

/** Where a page or form says what went wrong; read aloud as soon as it changes. */
export function sayingPlace() {
  return el("div", { class: "said", role: "alert" });
}

function saidNear(node) {
  return (node.closest("form, dialog, section") ?? document.querySelector("main")).querySelector(".said") ??
    document.querySelector("main .said");
}

/** Does an act while its button is busy; says the problem that it raises. Whether it was done. */
export async function once(node, act, said) {
  if (node.getAttribute("aria-disabled") === "true") return false;
  node.setAttribute("aria-disabled", "true");
  said?.replaceChildren();
  try {
    await act();
    return true;
  } catch (problem) {
    say(said, problem);
    return false;
  } finally {
    node.removeAttribute("aria-disabled");
  }
}

/** A form of fields. `send` is given their values by name; a problem is said above, and beside the field at fault. */
export function form({ fields, words, send, kind = "primary", beside = [] }) {
  const said = sayingPlace();
  const press = el("button", { type: "submit", class: kind }, words);
  return el(
    "form",
    {
      novalidate: true,
      method: "post",
      onsubmit: async (event) => {
        event.preventDefault();
        const node = event.currentTarget;
        said.replaceChildren();
        if (isComplete(node)) await once(press, () => send(values(node)), said);
        node.querySelector("[aria-invalid]")?.focus();
      },
    },
    said,
    fields,
    el("div", { class: "buttons" }, press, beside),
  );
}

/** A field with its label, and what is to be known of it. */
export function field({ name, words, hint = "", type = "text", value = "", required = false, ...attributes }) {
  const id = `field-${++made}`;
  const described = [hint && `${id}-hint`, `${id}-fault`].filter(Boolean).join(" ");
  const input = el("input", { id, name, type, value, "aria-describedby": described, ...attributes });
  if (required) input.setAttribute("aria-required", "true");
  return el(
    "div",
    { class: "field" },
    el("label", { for: id }, words),
    hint && el("p", { class: "hint", id: `${id}-hint` }, hint),
    type === "password" ? el("div", { class: "with-button" }, input, shower(input)) : input,
    el("p", { class: "fault", id: `${id}-fault` }),
  );
}

/** A choice of a few words: pairs of value and what it is called. */
export function choice({ name, words, options, value }) {
  const id = `field-${++made}`;
  const shown = options.map(([key, called]) => el("option", { value: key, selected: key === value, lang: key }, called));
  return el(
    "div",
    { class: "field" },
    el("label", { for: id }, words),
    el("select", { id, name, "aria-describedby": `${id}-fault` }, shown),
    el("p", { class: "fault", id: `${id}-fault` }),
  );
}

/** One of a few, none of them before it is chosen: value, what it is called, and what it means. */
export function oneOf({ name, words, options }) {
  const id = `field-${++made}`;
  const shown = options.map(([value, called, what]) =>
    el("label", { class: `option ${value}` },
      el("input", { type: "radio", name, value, required: true, "aria-describedby": `${id}-fault` }),
      el("span", {}, el("strong", {}, called), " ", what)));
  const chosen = (event) => event.currentTarget.querySelectorAll("input").forEach((one) => mark(one, ""));
  return el("fieldset", { class: "field", onchange: chosen }, el("legend", {}, words), shown, el("p", { class: "fault", id: `${id}-fault` }));
}

/** The name of an account, for programs that keep passwords; nobody sees it. */
export function keptName(account) {
  return el("input", { type: "text", name: "kept-name", value: account, autocomplete: "username", hidden: true, readonly: true });
}

function shower(input) {
  const node = el("button", { type: "button", "aria-pressed": "false", class: "show" }, t("form.show"));
  node.addEventListener("click", () => {
    const shown = input.type === "text";
    input.type = shown ? "password" : "text";
    node.setAttribute("aria-pressed", String(!shown));
    node.textContent = t(shown ? "form.show" : "form.hide");
  });
  return node;
}

function values(node) {
  const given = [...node.elements].filter((one) => one.name && one.name !== "kept-name" && (one.type !== "radio" || one.checked));
  return Object.fromEntries(given.map((one) => [one.name, one.value]));
}

function isComplete(node) {
  let complete = true;
  for (const input of node.querySelectorAll("[name]")) {
    const isMissing = input.type === "radio"
      ? !node.querySelector(`[name="${CSS.escape(input.name)}"]:checked`)
      : input.getAttribute("aria-required") === "true" && !input.value.trim();
    mark(input, isMissing ? t(input.type === "radio" ? "form.unchosen" : "form.missing") : "");
    complete &&= !isMissing;
  }
  return complete;
}

function mark(input, words) {
  const place = input.closest(".field")?.querySelector(".fault");
  if (place) place.textContent = words;
  if (words) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}

/** Says what went wrong: above, and beside the field at fault. Raises what is a mistake of the page itself. */
export function say(place, problem) {
  if (problem instanceof Problem) {
    const beside = problem.problems.filter((one) => !markFault(place, one));
    const rest = beside.map((one) => el("li", {}, [one.text, one.remedy].filter(Boolean).map(sentence).join(" ")));
    place?.replaceChildren(
      ...[
        el("p", {}, problem.title),
        problem.detail && el("p", {}, problem.detail),
        problem.code === "sign-in-refused" && el("p", {}, t("problem.sign-in")),
        rest.length > 0 && el("ul", {}, rest),
        problem.waitS > 0 && el("p", {}, t("problem.wait", { minutes: Math.ceil(problem.waitS / 60) })),
        problem.status >= 500 && el("p", {}, t("problem.reference", { id: problem.requestId })),
      ].filter(Boolean),
    );
  } else if (problem instanceof Offline) {
    place?.replaceChildren(el("p", {}, t("problem.offline")));
  } else if (problem instanceof Said) {
    if (problem.message) place?.replaceChildren(el("p", {}, problem.message));
  } else {
    place?.replaceChildren(el("p", {}, t("problem.page")));
    throw problem;
  }
}

/** What the page itself has to say of something that did not work; nothing where somebody only changed his mind. */
export class Said extends Error {}

function markFault(place, fault) {
  const name = (fault.pointer ?? "").slice(1);
  const input = name && place?.closest("form")?.querySelector(`[name="${CSS.escape(name)}"]`);
  if (!input) return false;
  mark(input, [fault.text, fault.remedy].filter(Boolean).map(sentence).join(" "));
  return true;
}

function sentence(words) {
  const begun = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
