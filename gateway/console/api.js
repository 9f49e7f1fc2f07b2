// The API of this server, and nothing else: JSON in, JSON out, problems in the words of the server.

import { language } from "./texts.js";

const state = { freshFactor: null, gone: null, asking: null };

/** What the API said of why it did not do something (RFC 9457). */
export class Problem extends Error {
  constructor(status, said, waitS) {
    super(said.title);
    Object.assign(this, { status, code: said.code, title: said.title, detail: said.detail, waitS });
    this.problems = said.problems ?? [];
    this.requestId = said.request_id ?? "";
  }
}

/** Nothing came back: no network, or no server. */
export class Offline extends Error {}

/** `freshFactor(isLocked)` asks for a factor and says whether one was shown; `gone` is called when the session is over. */
export function whenRefused({ freshFactor, gone }) {
  Object.assign(state, { freshFactor, gone });
}

/** Asks the API. Where it wants a factor first, it is asked for, and then again. Raises Problem and Offline. */
export async function ask(method, path, { body, match, directly = false } = {}) {
  for (;;) {
    try {
      return await asked(method, path, body, match);
    } catch (problem) {
      const isLocked = problem.code === "session-locked";
      const wantsFactor = isLocked || problem.code === "step-up";
      if (!directly && wantsFactor && (await factorShown(isLocked))) continue;
      if (!directly && state.gone && (problem.code === "no-session" || problem.code === "no-key")) {
        state.gone();
        return new Promise(() => {}); // of a page that is being left
      }
      throw problem;
    }
  }
}

/** However many answers want one at once, a factor is asked for once. */
async function factorShown(isLocked) {
  if (!state.freshFactor) return false;
  state.asking ??= state.freshFactor(isLocked).finally(() => (state.asking = null));
  return state.asking;
}

async function asked(method, path, body, match) {
  const headers = { "Accept-Language": language() };
  if (body !== undefined) headers["Content-Type"] = method === "PATCH" ? "application/merge-patch+json" : "application/json";
  if (match) headers["If-Match"] = match;
  const payload = body === undefined ? undefined : JSON.stringify(body);
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: payload, credentials: "same-origin", cache: "no-store" });
  } catch {
    throw new Offline();
  }
  if (!answer.ok) throw await problemOf(answer);
  const value = answer.status === 204 ? null : await answer.json();
  return { value, version: answer.headers.get("ETag") };
}

async function problemOf(answer) {
  const waitS = Number(answer.headers.get("Retry-After") ?? 0);
  try {
    return new Problem(answer.status, await answer.json(), waitS);
  } catch {
    // A proxy before the server may answer in its own words.
    return new Problem(answer.status, { code: "", title: `HTTP ${answer.status}` }, waitS);
  }
}
