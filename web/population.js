/**
 * The number of players on the server. Game messages contain only players in view, so the page requests `/health`.
 *
 * @module population
 */

/** Time between two requests: after a change of the number of players in view, and without one; in milliseconds. */
const ASK_MS_MIN = 2_000;
const ASK_MS_MAX = 5_000;

/** Timeout of a request, and the time for which a response is shown without a newer one, in milliseconds. */
const PATIENCE_MS = 5_000;
const ANSWER_MS_MAX = 15_000;

/**
 * Requests the number of players in the world, those on other servers included.
 * @param {typeof fetch} ask
 * @returns {Promise<number>}
 */
export async function askServer(ask = fetch) {
  const answer = await ask('health', { signal: AbortSignal.timeout(PATIENCE_MS), cache: 'no-store' });
  const { players: here, players_in_world: players = here } = await answer.json();
  if (!Number.isSafeInteger(players)) throw new TypeError('expected a number of players');
  return players;
}

/** The number of players on the server; unknown until the first response. */
export class Population {
  #askedAt = -Infinity;
  #answeredAt = -Infinity;
  #isAsking = false;
  #inView = 0;
  /** Number of the connection; responses to requests of an earlier one are dropped. */
  #connection = 0;
  /** @type {number | undefined} */
  #answer;

  /** @param {() => Promise<number>} ask */
  constructor(ask = () => askServer()) {
    this.ask = ask;
  }

  /** Forgets the number of players: a new connection may lead to another server. */
  forget() {
    this.#connection += 1;
    this.#answer = undefined;
    this.#isAsking = false;
    this.#askedAt = -Infinity;
  }

  /**
   * Sends a request when one is due.
   * @param {number} inView Players on the screen, the own player included.
   * @param {() => number} clock Milliseconds.
   */
  async follow(inView, clock) {
    const now = clock();
    const wait = inView === this.#inView ? ASK_MS_MAX : ASK_MS_MIN;
    if (this.#isAsking || now - this.#askedAt < wait) return;
    [this.#isAsking, this.#askedAt, this.#inView] = [true, now, inView];
    const connection = this.#connection;
    const answer = await this.ask().catch(() => undefined);
    if (connection !== this.#connection) return;
    this.#isAsking = false;
    if (answer !== undefined) [this.#answer, this.#answeredAt] = [answer, clock()];
  }

  /**
   * Returns the number of players on the server. Players that entered the view after the last response, and the page's own bots,
   * count immediately.
   * @param {number} known Players that the page knows of, the own player included.
   * @param {number} now
   * @returns {number | undefined}
   */
  count(known, now) {
    if (this.#answer === undefined || now - this.#answeredAt > ANSWER_MS_MAX) return undefined;
    return Math.max(this.#answer, known);
  }
}
