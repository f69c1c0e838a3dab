/**
 * The rules of the world. They are settings of the server, and the game's messages don't contain them.
 *
 * @module rules
 */

/**
 * @typedef {object} Rules
 * @property {number} width Width of the world, in units.
 * @property {number} height Height of the world, in units.
 * @property {number} stepUnits Units that a step covers along each axis, with up to three decimals.
 * @property {number} stepMs Duration of a step of a walking player, in milliseconds.
 * @property {number} attackMs Duration of an attack, in milliseconds.
 * @property {number} connectionsPerAccount Maximum number of connections of this page's account, bots included; infinite without
 *   accounts.
 */

/** The rules of a server with default settings. @type {Readonly<Rules>} */
export const DEFAULT_RULES = Object.freeze({
  width: 2000,
  height: 2000,
  stepUnits: 4,
  stepMs: 1000 / 24,
  attackMs: 1000,
  connectionsPerAccount: Infinity,
});

/** Timeout of a request, in milliseconds. */
const PATIENCE_MS = 5_000;

/**
 * Time between two requests of one connection, in milliseconds: after an answer, since another process may take over the server
 * with other settings, and after a failure.
 */
const ASK_MS = 30_000;
const RETRY_MS = 5_000;

/** Shortest time between two requests because of corrections, in milliseconds: a slow client is corrected as well. */
const DOUBT_MS = 2_000;

/**
 * Requests the rules from the server of this page.
 * @param {typeof fetch} ask
 * @returns {Promise<Rules>}
 */
export async function askRules(ask = fetch) {
  const answer = await ask('play/rules.json', { signal: AbortSignal.timeout(PATIENCE_MS), cache: 'no-store' });
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const json = await answer.json();
  const read = (/** @type {string} */ name) => {
    const value = json?.[name];
    if (!(Number.isFinite(value) && value > 0)) throw new TypeError(`${name} is ${JSON.stringify(value)}`);
    return value;
  };
  return {
    width: read('world_width'),
    height: read('world_height'),
    stepUnits: read('player_speed'),
    stepMs: 1000 / read('steps_per_s'),
    attackMs: read('attack_duration_ms'),
    connectionsPerAccount: readLimit(json.connections_per_account),
  };
}

/**
 * Reads the limit of an account, which a server without accounts omits.
 * @param {unknown} value
 */
function readLimit(value) {
  if (value === undefined) return Infinity;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value;
  throw new TypeError(`connections_per_account is ${JSON.stringify(value)}`);
}

/** The rules as the server last reported them; the defaults before. */
export class Rulebook {
  /** @type {Readonly<Rules>} */
  rules = DEFAULT_RULES;
  /** Whether the first request of this connection has ended. */
  isSettled = false;
  /** Number of the last request; an answer to an earlier one is dropped. */
  #request = 0;
  /** The next request; undefined while one is pending, and without a connection. @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #doubtedAt = -Infinity;

  /**
   * @param {(failure: Error | undefined) => void} onEnd Called after each request; with an error, the rules are as before.
   * @param {() => Promise<Rules>} ask
   */
  constructor(onEnd, ask = () => askRules()) {
    this.onEnd = onEnd;
    this.ask = ask;
  }

  /** Maximum number of bots beside the page's own connection; 0 until the server has reported its rules. */
  get botsMax() {
    return this.rules === DEFAULT_RULES ? 0 : this.rules.connectionsPerAccount - 1;
  }

  /** Follows the rules of a new connection. */
  begin() {
    this.isSettled = false;
    return this.#follow();
  }

  /**
   * Requests the rules now, since the server has corrected a step: another process may have taken over with other rules. Does
   * nothing soon after the last such request, while a request is pending, or without a connection.
   * @param {number} now
   */
  doubt(now) {
    if (this.#timer === undefined || now - this.#doubtedAt < DOUBT_MS) return;
    this.#doubtedAt = now;
    this.#follow();
  }

  /** Sends no more requests. */
  end() {
    this.#request += 1;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  async #follow() {
    this.end();
    const request = this.#request;
    /** @type {Error | undefined} */
    let failure;
    const rules = await this.ask().catch((/** @type {Error} */ error) => void (failure = error));
    if (request !== this.#request) return;
    if (rules) this.rules = rules;
    this.isSettled = true;
    // Set before the call, so that an exception in it does not end the requests.
    this.#timer = setTimeout(() => this.#follow(), failure ? RETRY_MS : ASK_MS);
    this.onEnd(failure);
  }
}
