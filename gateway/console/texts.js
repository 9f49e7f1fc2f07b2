// The texts of the pages, in the language in which the page speaks now.

const root = document.documentElement;
const LOCALES = { en: "en-GB", nl: "nl-BE", fr: "fr-BE", de: "de-BE" };
const state = { texts: {} };

/** Speaks a language from here. */
export async function speak(wanted) {
  const answer = await fetch(document.querySelector(`link[data-texts="${wanted}"]`).href);
  state.texts = await answer.json();
  root.lang = wanted;
}

/** A text of the page; `{name}` in it stands for a fact. */
export function t(key, facts = {}) {
  const text = state.texts[key];
  if (text === undefined) throw new Error(`no text ${key}`);
  return text.replace(/\{(\w+)\}/g, (_, name) => facts[name]);
}

export function language() {
  return root.lang;
}

/** An instant as the API writes it, as people write it in Brussels. */
export function instant(written) {
  const form = { dateStyle: "medium", timeStyle: "short", timeZone: "Europe/Brussels" };
  return new Intl.DateTimeFormat(LOCALES[root.lang], form).format(new Date(written));
}
