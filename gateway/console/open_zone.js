// A zone that a paper code has opened to this browser: which, until when, live or a rehearsal, and how it is closed.

import { ask } from "./api.js";
import { el, removal, sayingPlace } from "./dom.js";
import { here, show } from "./frame.js";
import { instant, t } from "./texts.js";

const LAUNCH = "POST /api/v1/campaigns", LOOK = "GET /api/v1/campaigns", STOP = "POST /api/v1/campaigns/{id}/stop";
const OFTEN_MS = 60_000;
const state = { isOver: false };

/** Whether a session is nobody's who has signed in, but was opened by a code. */
export function isByCode(session) {
  return session.factors.includes("break-glass");
}

/** Shows it until it ends. */
export async function showOpenZone({ account, ends }) {
  const [{ value: own }, isSomebodyThere] = await Promise.all([
    ask("GET", "/api/v1/whoami"),
    ask("GET", "/api/v1/help", { directly: true }).then(({ value }) => value.lines.length > 0, () => false),
  ]);
  const zone = own.rights[0]?.zone ?? account;
  const isLive = own.rights.some((right) => right.mode !== "simulation");
  show(() => open({ zone, isLive, ends, isSomebodyThere }));
  watch(zone, Date.parse(ends));
}

function open({ zone, isLive, ends, isSomebodyThere }) {
  const mode = isLive
    ? [t("zone-open.live"), t("zone-open.live-what")]
    : [t("zone-open.rehearsal"), t("zone-open.rehearsal-what")];
  const ways = [["zone-open.launch", LAUNCH], ["zone-open.look", LOOK], ["zone-open.stop", STOP]];
  return {
    title: t("zone-open.title", { zone }),
    content: [
      el("div", { class: `alarm ${isLive ? "live" : "rehearsal"}` },
        el("p", { class: "mode" }, mode[0]),
        el("p", {}, mode[1]),
        el("p", {}, el("strong", {}, t("zone-open.until", { zone, when: instant(ends) })))),
      el("section", { class: "card" },
        el("h2", {}, t("zone-open.may")),
        el("ul", { class: "steps" }, ways.map(([key, route]) => el("li", {}, t(key), " ", el("code", {}, route)))),
        el("p", {}, t("zone-open.api"), " ", el("a", { href: "/api/docs" }, t("zone-open.docs"))),
        isSomebodyThere && el("p", {}, t("zone-open.help"))),
      el("section", { class: "card" },
        el("h2", {}, t("zone-open.end-title")),
        el("p", {}, t("zone-open.told")),
        sayingPlace(),
        el("div", { class: "buttons" }, removal(t("zone-open.end"), t("zone-open.end-sure"), () => end(zone), { class: "danger" }))),
    ],
  };
}

async function end(zone) {
  await ask("DELETE", "/api/v1/sessions/current").catch(unlessGone);
  close(zone);
}

/** It may have ended by itself meanwhile. */
function unlessGone(problem) {
  if (problem.status !== 401) throw problem;
}

function close(zone) {
  if (!state.isOver) show(() => over(zone));
  state.isOver = true;
}

function over(zone) {
  return {
    title: t("zone-open.over", { zone }),
    content: [
      el("p", {}, t("zone-open.over-what")),
      el("p", {}, t("zone-open.issue"), " ", el("code", {}, `tocsin break-glass issue ${zone}`)),
      el("ul", { class: "ways" }, el("li", {}, el("a", { href: here("/sign-in") }, t("link.sign-in")))),
    ],
  };
}

/** When it has ended the page says so. The clock of this machine may be wrong: the server is asked. */
function watch(zone, endsMs) {
  const leftMs = endsMs - Date.now();
  setTimeout(async () => {
    if (state.isOver) return;
    const problem = await ask("GET", "/api/v1/sessions/current", { directly: true }).then(() => null, (one) => one);
    if (problem?.status === 401) close(zone);
    else watch(zone, endsMs);
  }, leftMs > 0 ? Math.min(OFTEN_MS, leftMs + 1_000) : OFTEN_MS / 4);
}
