/**
 * The connection to the server: opened again when it breaks, later and later, with the reason in words.
 *
 * @module connection
 */

import { decodeServer, encodeClient, ProtocolError } from './protocol.js';

/** @import { ClientMessage, ServerMessage } from './protocol.js' */

/** Shortest and longest wait before the next attempt, in milliseconds; each is up to twice the one before. */
const WAIT_MS_MIN = 500;
const WAIT_MS_MAX = 10_000;

/** How long the server may take to open a connection or to say how it is, in milliseconds. */
const PATIENCE_MS = 5_000;

/** Why the server closed, by code (RFC 6455 and what this server means by them). */
const REASONS = new Map([
  [1000, 'The server said goodbye.'],
  [1001, 'The server is restarting.'],
  [1008, 'The server closed the connection: too many messages, or none taken.'],
  [1009, 'The server closed the connection: a message was too long.'],
  [1011, 'Something went wrong on the server.'],
]);

/**
 * How the connection is. `waiting` says why, and when the next attempt is.
 * @typedef {{ is: 'connecting' } | { is: 'open' } | { is: 'waiting', reason: string, until: number }} Status
 */

/** The address of the game beside this page, which may lie below a path that a proxy strips. */
export function gameAddress(page = globalThis.location.href) {
  const address = new URL('ws', page);
  address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:';
  return address.href;
}

/**
 * Why a connection could not be opened. Browsers don't tell, so the server is asked how it is.
 * @param {typeof fetch} ask
 * @returns {Promise<string>}
 */
export async function reasonOfRefusal(ask = fetch) {
  try {
    const answer = await ask('health', { signal: AbortSignal.timeout(PATIENCE_MS), cache: 'no-store' });
    const { status } = await answer.json();
    if (status === 'draining') return 'The server is stopping and lets nobody in.';
    return 'The server is full, or lets nobody in from here. It is well otherwise.';
  } catch {
    return 'The server does not answer.';
  }
}

/**
 * How long to wait before attempt number `attempt` (from 0), in milliseconds: by chance, so that not everybody comes back at
 * the same moment.
 * @param {number} attempt
 */
export function waitMs(attempt, random = Math.random) {
  const most = Math.min(WAIT_MS_MIN * 2 ** attempt, WAIT_MS_MAX);
  return most / 2 + (random() * most) / 2;
}

/** A connection that comes back by itself. */
export class Connection {
  /** @type {WebSocket | undefined} */
  #socket;
  #attempt = 0;
  #wasOpen = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #isOver = false;

  /** Messages received that are none of this protocol. */
  errors = 0;

  /**
   * @param {object} options
   * @param {string} options.address Of the game, `ws://` or `wss://`.
   * @param {() => void} options.onOpen A new connection is open: whatever was known is void.
   * @param {(message: ServerMessage) => void} options.onMessage
   * @param {(status: Status) => void} options.onStatus
   */
  constructor(options) {
    this.options = options;
    this.#open();
  }

  /** Whether messages reach the server at present. */
  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /**
   * Sends a message; dropped when there is nobody to send it to.
   * @param {ClientMessage} message
   */
  send(message) {
    if (this.isOpen) this.#socket?.send(encodeClient(message));
  }

  /** Tries now and not later. */
  retry() {
    if (!this.#timer) return;
    clearTimeout(this.#timer);
    this.#open();
  }

  /** Closes it for good. */
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
      this.#closed(event.code);
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

  /** @param {number} code */
  async #closed(code) {
    if (this.#isOver) return;
    const delay = waitMs(this.#attempt);
    const until = performance.now() + delay;
    this.#attempt += 1;
    this.#timer = setTimeout(() => this.#open(), delay);
    const timer = this.#timer;
    const known = this.#wasOpen ? (REASONS.get(code) ?? 'The connection broke.') : undefined;
    const reason = known ?? (await reasonOfRefusal());
    // The next attempt may have begun meanwhile.
    if (this.#timer === timer) this.options.onStatus({ is: 'waiting', reason, until });
  }
}
