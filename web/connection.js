/**
 * The connection to the server. Reconnects with exponential backoff and reports why the connection ended.
 *
 * @module connection
 */

import { decodeServer, encodeClient, ProtocolError } from './protocol.js';

/** @import { ClientMessage, ServerMessage } from './protocol.js' */

/** Shortest and longest backoff before the next attempt, in milliseconds; it doubles with each attempt. */
const WAIT_MS_MIN = 500;
const WAIT_MS_MAX = 10_000;

/** Timeout for opening a connection and for a health request, in milliseconds. */
const PATIENCE_MS = 5_000;

/** Code of a close because the player's account has joined elsewhere. An attempt by itself would close that connection in turn. */
const DISPLACED = 4001;

/** Code of a close because of the player itself: a kick, a ban or a flood. Codes from 4000 are kicks too, except for `DISPLACED`. */
const POLICY = 1008;
const APPLICATION_MIN = 4000;

/** Longest delay of a timer, in milliseconds: 24 days. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** Reasons for a close by code: the codes of RFC 6455, as this server uses them. */
const REASONS = new Map([
  [1000, 'The server closed the connection.'],
  [1001, 'The server is restarting.'],
  [POLICY, 'The server closed the connection.'],
  [1009, 'The server closed the connection: a message was too long.'],
  [1011, 'Something went wrong on the server.'],
  [DISPLACED, 'You have joined in another window.'],
]);

/**
 * State of the connection. `waiting` has the reason and the time of the next attempt, which is infinite if only a retry starts one.
 * @typedef {{ is: 'connecting' } | { is: 'open' } | { is: 'waiting', reason: string, until: number }} Status
 */

/** Returns the game's address, relative to this page. A proxy may serve the page below a path. */
export function gameAddress(page = globalThis.location.href) {
  const address = new URL('ws', page);
  address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:';
  return address.href;
}

/**
 * Returns why a connection could not be opened. Browsers don't report the reason, so this requests the server's health.
 * @param {typeof fetch} ask
 * @returns {Promise<string>}
 */
export async function reasonOfRefusal(ask = fetch) {
  try {
    const answer = await ask('health', { signal: AbortSignal.timeout(PATIENCE_MS), cache: 'no-store' });
    if (answer.status === 403) return 'The server refuses connections from your address.';
    const { status } = await answer.json();
    if (status === 'draining') return 'The server admits no new players at present.';
    return 'The server is full, or does not accept players from here.';
  } catch {
    return 'The server does not respond.';
  }
}

/**
 * Returns the backoff before attempt number `attempt` (from 0), in milliseconds. Jitter keeps clients from reconnecting at the
 * same time.
 * @param {number} attempt
 */
export function waitMs(attempt, random = Math.random) {
  const most = Math.min(WAIT_MS_MIN * 2 ** attempt, WAIT_MS_MAX);
  return most / 2 + (random() * most) / 2;
}

/** A connection that reconnects automatically, unless the server has closed it because of the player. */
export class Connection {
  /** @type {WebSocket | undefined} */
  #socket;
  #attempt = 0;
  #wasOpen = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #isOver = false;

  /** Number of received messages that violate the protocol. */
  errors = 0;

  /**
   * @param {object} options
   * @param {string} options.address Address of the game, `ws://` or `wss://`.
   * @param {() => void} options.onOpen A new connection is open: all earlier state is void.
   * @param {(message: ServerMessage) => void} options.onMessage
   * @param {(status: Status) => void} options.onStatus
   */
  constructor(options) {
    this.options = options;
    this.#open();
  }

  /** Whether the connection is open. */
  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /**
   * Sends a message; drops it when the connection is not open.
   * @param {ClientMessage} message
   */
  send(message) {
    if (this.isOpen) this.#socket?.send(encodeClient(message));
  }

  /** Reconnects now, without waiting for the backoff. */
  retry() {
    if (!this.#timer) return;
    clearTimeout(this.#timer);
    this.#open();
  }

  /** Closes the connection without reconnecting. */
  close() {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#socket?.close(1000);
  }

  #open() {
    this.#timer = undefined;
    this.#wasOpen = false;
    this.options.onStatus({ is: 'connecting' });
    const socket = new WebSocket(this.options.address);
    socket.binaryType = 'arraybuffer';
    const patience = setTimeout(() => socket.close(), PATIENCE_MS);
    socket.onopen = () => {
      clearTimeout(patience);
      this.#wasOpen = true;
      this.#attempt = 0;
      this.options.onOpen();
      this.options.onStatus({ is: 'open' });
    };
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = (event) => {
      clearTimeout(patience);
      this.#closed(event.code, event.reason);
    };
    this.#socket = socket;
  }

  /** @param {ArrayBuffer | string} data */
  #receive(data) {
    if (typeof data === 'string') return void (this.errors += 1);
    try {
      this.options.onMessage(decodeServer(data));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.errors += 1;
    }
  }

  /**
   * @param {number} code
   * @param {string} why what the server said
   */
  async #closed(code, why) {
    if (this.#isOver) return;
    const isMeant = code === POLICY || code >= APPLICATION_MIN;
    const delay = isMeant ? TIMER_MS_MAX : waitMs(this.#attempt);
    const until = isMeant ? Infinity : performance.now() + delay;
    this.#attempt += 1;
    this.#timer = setTimeout(() => this.#open(), delay);
    const timer = this.#timer;
    const isExplained = why !== '' && isMeant && code !== DISPLACED;
    const broken = isExplained ? `The server closed the connection: ${why}.` : (REASONS.get(code) ?? 'The connection broke.');
    const known = this.#wasOpen ? broken : undefined;
    const reason = known ?? (await reasonOfRefusal());
    // The next attempt may have started while the health request was pending.
    if (this.#timer === timer) this.options.onStatus({ is: 'waiting', reason, until });
  }
}
