// Passkeys: the API's JSON as the browser wants it, and the authenticator's answer as the API wants it.

import { ask } from "./api.js";
import { Said } from "./dom.js";
import { t } from "./texts.js";

/** Whether this browser has passkeys at all; it has none on a page that came over plain HTTP from elsewhere. */
export function hasPasskeys() {
  return window.isSecureContext && typeof window.PublicKeyCredential === "function";
}

// An authenticator does one thing at a time: whoever comes last has the turn, and what was offered before it ends.
const state = { turn: 0, ending: new AbortController(), offered: Promise.resolve() };
const RENEWED = "renewed";

async function takeTurn() {
  const turn = ++state.turn;
  state.ending.abort();
  await state.offered;
  return turn;
}

/** An answer to a fresh challenge, for signing in, unlocking or showing a factor again. Raises Said. */
export async function assertion() {
  await takeTurn();
  return answered(await challenge("/api/v1/sessions/passkey/challenge"), {});
}

/** Offers passkeys among what a browser fills into the field of the account, until another turn begins. `use` is given
 * the answer. */
export async function offerInField(use) {
  if (!hasPasskeys()) return;
  const turn = await takeTurn();
  if (!(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
  while (turn === state.turn) {
    const options = await challenge("/api/v1/sessions/passkey/challenge").catch(() => null);
    if (turn !== state.turn || !options || !isOfThisPlace(options.rpId)) return;
    const ending = (state.ending = new AbortController());
    // A challenge has its end: before it there is another one.
    const renewal = setTimeout(() => ending.abort(RENEWED), options.timeout * 0.8);
    // Whatever else becomes of it, the form is there.
    state.offered = answered(options, { mediation: "conditional", signal: ending.signal }).catch(() => null);
    const passkey = await state.offered;
    clearTimeout(renewal);
    if (passkey) return use(passkey);
    if (ending.signal.reason !== RENEWED) return;
  }
}

/** A new passkey, as the API takes it. Raises Said. */
export async function creation(name) {
  await takeTurn();
  const options = await challenge("/api/v1/me/passkeys/challenge");
  requirePlace(options.rp.id);
  options.user.id = octets(options.user.id);
  options.excludeCredentials = options.excludeCredentials.map((one) => ({ ...one, id: octets(one.id) }));
  const made = await touched(() => navigator.credentials.create({ publicKey: options }));
  return { client_data: text(made.response.clientDataJSON), attestation: text(made.response.attestationObject), name };
}

async function challenge(path) {
  const { value } = await ask("POST", path);
  return { ...value.public_key, challenge: octets(value.public_key.challenge) };
}

async function answered(options, how) {
  requirePlace(options.rpId);
  const shown = await touched(() => navigator.credentials.get({ publicKey: options, ...how }));
  return {
    credential_id: text(shown.rawId),
    client_data: text(shown.response.clientDataJSON),
    authenticator_data: text(shown.response.authenticatorData),
    signature: text(shown.response.signature),
  };
}

const CAUSES = { InvalidStateError: "passkey.known", NotSupportedError: "passkey.unsupported", NotAllowedError: "passkey.cancelled" };

async function touched(act) {
  try {
    return await act();
  } catch (error) {
    if (error.name === "AbortError") throw new Said("");
    throw new Said(t(CAUSES[error.name] ?? "passkey.failed"));
  }
}

function isOfThisPlace(host) {
  return location.hostname === host || location.hostname.endsWith(`.${host}`);
}

/** A passkey is bound to a name; an address of numbers has none. */
function requirePlace(host) {
  if (!hasPasskeys()) throw new Said(t("passkey.unsupported"));
  if (!isOfThisPlace(host)) throw new Said(t("passkey.elsewhere", { host }));
}

function octets(words) {
  return Uint8Array.from(atob(words.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
}

function text(buffer) {
  const letters = Array.from(new Uint8Array(buffer), (octet) => String.fromCharCode(octet)).join("");
  return btoa(letters).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
