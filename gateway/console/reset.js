// The page behind a link for a lost password: another password, and nothing else. Every other factor stays.

import { ask } from "./api.js";
import { el, form } from "./dom.js";
import { newPasswordField } from "./factors.js";
import { begin, here, show, takeToken } from "./frame.js";
import { t } from "./texts.js";

await begin(start);
// Another link that is put into the address of the same page.
addEventListener("hashchange", start);

function start() {
  const token = takeToken();
  show(token ? () => resetting(token) : withoutLink);
}

function resetting(token) {
  return {
    title: t("reset.title"),
    content: [
      el("p", {}, t("reset.what")),
      form({
        fields: [newPasswordField()],
        words: t("reset.button"),
        send: async ({ password }) => {
          await ask("POST", "/api/v1/resets/use", { body: { token, password } });
          show(done);
        },
      }),
      signInLink(),
    ],
  };
}

function done() {
  return {
    title: t("reset.done"),
    content: [
      el("p", {}, t("reset.done-what")),
      el("div", { class: "buttons" }, el("a", { class: "button primary", href: here("/sign-in") }, t("link.sign-in"))),
    ],
  };
}

function withoutLink() {
  return { title: t("link.none"), content: [el("p", {}, t("reset.none")), signInLink()] };
}

function signInLink() {
  return el("ul", { class: "ways" }, el("li", {}, el("a", { href: here("/sign-in") }, t("link.sign-in"))));
}
