// What every page has: the screen that is shown, the switch of languages, whom to ask, the token of a mail's link.

import { ask } from "./api.js";
import { button, el, say, sayingPlace } from "./dom.js";
import { language, speak, t } from "./texts.js";

const state = { screen: null, chosen: "" };

/** Begins a page: `first` shows its first screen. */
export async function begin(first) {
  state.chosen = new URLSearchParams(location.search).get("lang") ?? "";
  await speak(language());
  for (const link of languageLinks()) link.addEventListener("click", switched);
  document.querySelector(".skip").addEventListener("click", toContent);
  // A page that a browser has kept is of before: somebody may have signed out since.
  addEventListener("pageshow", (event) => event.persisted && location.reload());
  help();
  try {
    await first();
  } catch (problem) {
    show(failed);
    say(document.querySelector("main .said"), problem);
  }
}

function failed() {
  const again = button(t("problem.again"), () => location.reload(), "primary");
  return { title: t("problem.title"), content: [sayingPlace(), el("div", { class: "buttons" }, again)] };
}

/** Shows a screen: `build` says its title and what is in it, and is asked again when the language changes. */
export function show(build) {
  const isFirst = state.screen === null;
  state.screen = build;
  paint();
  if (!isFirst) document.querySelector("h1").focus();
}

/** Shows the same screen again, where it looks different now. */
export function paint() {
  const main = document.querySelector("main");
  const { title, content } = state.screen();
  main.replaceChildren(el("h1", { tabindex: "-1" }, title), ...content.flat(2).filter(Boolean));
  main.removeAttribute("aria-busy");
  document.title = `${title} · Tocsin`;
}

/** Says the screen in another language. What was typed stays. */
export async function speakFrom(wanted) {
  const typed = new Map(inputs().filter((one) => one.type !== "radio" || one.checked).map((one) => [one.name, one.value]));
  await speak(wanted);
  for (const link of languageLinks()) {
    if (link.dataset.language === wanted) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  document.querySelector(".skip").textContent = t("frame.skip");
  document.querySelector("nav").setAttribute("aria-label", t("frame.languages"));
  paint();
  for (const input of inputs()) {
    if (input.type === "radio") input.checked = typed.get(input.name) === input.value;
    else input.value = typed.get(input.name) ?? input.value;
  }
  help();
}

/** Speaks the language of an account, unless somebody has chosen another one on this page. */
export async function speakAs(account) {
  if (!state.chosen && account.language && account.language !== language()) await speakFrom(account.language);
}

/** An address of this site that keeps a language that somebody has chosen. */
export function here(path) {
  return state.chosen ? `${path}?lang=${state.chosen}` : path;
}

/** The session of this browser, locked or not; null where it has none. */
export async function ownSession() {
  // Whether the browser has sent a cookie is all that the server says of it in the page: whose it is, is asked here.
  if (!("cookie" in document.documentElement.dataset)) return null;
  try {
    return (await ask("GET", "/api/v1/sessions/current", { directly: true })).value;
  } catch (problem) {
    if (problem.status !== 401) throw problem;
    return null;
  }
}

/** The token of a link that came by mail, which stands behind the # and is nobody else's to see: it leaves the address
 * at once. */
export function takeToken() {
  const token = location.hash.slice(1);
  if (token) history.replaceState(history.state, "", location.pathname + location.search);
  return token;
}

/** What stands behind the # of an address is a token here, and never a place in the page. */
function toContent(event) {
  event.preventDefault();
  document.querySelector("h1").focus();
}

function inputs() {
  return [...document.querySelectorAll("main input[name]:not([hidden])")];
}

function languageLinks() {
  return document.querySelectorAll("[data-language]");
}

async function switched(event) {
  event.preventDefault();
  state.chosen = event.currentTarget.dataset.language;
  const address = new URL(location.href);
  address.searchParams.set("lang", state.chosen);
  history.replaceState(history.state, "", address);
  await speakFrom(state.chosen);
}

async function help() {
  // A page without help is a page all the same.
  const { lines, documents } = await ask("GET", "/api/v1/help", { directly: true }).then(({ value }) => value, () => ({ lines: [], documents: [] }));
  const whom = lines.map((line) =>
    el("li", {},
      el("strong", {}, line.title),
      el("span", {}, [line.name, line.hours].filter(Boolean).join(", ")),
      line.phone && el("a", { href: `tel:${line.phone.replace(/[^+0-9]/g, "")}` }, line.phone),
      line.mail && el("a", { href: `mailto:${line.mail}` }, line.mail)));
  const what = documents.map((one) => el("li", {}, el("a", { href: one.href, rel: "noreferrer" }, one.title)));
  const content = [el("h2", {}, t("frame.help")), el("ul", {}, whom), what.length > 0 && el("ul", {}, what)];
  document.querySelector("footer").replaceChildren(...(whom.length + what.length ? content.filter(Boolean) : []));
}
