/**
 * Bots: players that move at random, each over its own connection, so that a single visitor sees a crowd.
 *
 * @module bots
 */

import { decodeServer, encodeClient, TYPE } from './protocol.js';

/** @import { Rules } from './rules.js' */

/** Maximum number of bots of one page. */
const BOTS_MAX = 200;

/** Time between two connections, in milliseconds: below the server's rate limit per address. */
const CONNECT_MS = 50;

/** Shortest and longest time between two actions, in milliseconds. */
const MIND_MS = [600, 4_000];

/** Probabilities of a pause and of an attack per action. */
const PAUSES = 0.25;
const ATTACKS = 0.15;

/**
 * The smallest viewport, in units. A bot needs its acks only; without a viewport it would receive the nearest players of the whole
 * world, so that the messages to a hundred bots would occupy the page.
 */
const VIEWPORT = /** @type {const} */ ({ type: 'viewport', width: 100, height: 100 });

/** Distance from an edge at which a bot turns away, in units. */
const EDGE = 100;

/** The bots of this page. A bot whose connection ends is not replaced. */
export class Bots {
  /** Bots that are due to connect. */
  #waiting = 0;
  /** @type {WebSocket[]} */
  #sockets = [];

  /**
   * @param {string} address Address of the game.
   * @param {() => Readonly<Rules>} rules
   * @param {() => number} most Maximum number of bots that the server allows this page.
   */
  constructor(address, rules, most, random = Math.random) {
    this.address = address;
    this.rules = rules;
    this.most = most;
    this.random = random;
  }

  /** Number of connected bots. */
  get connected() {
    return this.#sockets.filter(({ readyState }) => readyState === WebSocket.OPEN).length;
  }

  /** Number of bots that can be added. */
  get room() {
    this.#sockets = this.#sockets.filter(({ readyState }) => readyState <= WebSocket.OPEN);
    return Math.max(Math.min(BOTS_MAX, this.most()) - this.#waiting - this.#sockets.length, 0);
  }

  /**
   * Connects bots one by one, at most as many as there is room for.
   * @param {number} count
   */
  add(count) {
    for (let n = Math.min(count, this.room); n > 0; n -= 1) {
      this.#waiting += 1;
      setTimeout(() => this.#connect(), this.#waiting * CONNECT_MS);
    }
  }

  #connect() {
    this.#waiting -= 1;
    this.#sockets.push(startBot(this));
  }
}

/** @param {Bots} bots */
function startBot({ address, rules, random }) {
  const socket = new WebSocket(address);
  socket.binaryType = 'arraybuffer';
  let sequence = 0;
  /** @type {{ x: number, y: number } | undefined} */
  let place;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const send = (/** @type {import('./protocol.js').ClientMessage} */ message) => {
    if (socket.readyState === WebSocket.OPEN) socket.send(encodeClient(message));
  };
  const wander = () => {
    const [shortest, longest] = MIND_MS;
    let wait = shortest + random() * (longest - shortest);
    const mind = random();
    sequence += 1;
    if (mind < ATTACKS) {
      const { attackMs } = rules();
      send({ type: 'attack' });
      setTimeout(() => send({ type: 'attackEnd' }), attackMs);
      wait = attackMs + 100;
    } else {
      const { dx, dy } =
        mind < ATTACKS + PAUSES ? { dx: /** @type {0} */ (0), dy: /** @type {0} */ (0) } : heading(place, rules(), random);
      if (dx !== 0) send({ type: 'direction', facing: dx > 0 ? 'right' : 'left' });
      send({ type: 'move', dx, dy, sequence });
    }
    timer = setTimeout(wander, wait);
  };
  socket.onopen = () => {
    send(VIEWPORT);
    wander();
  };
  socket.onclose = () => clearTimeout(timer);
  socket.onmessage = ({ data }) => {
    const bytes = new Uint8Array(data);
    // Other messages are ignored without decoding: there are many.
    if (bytes[0] !== TYPE.MOVEMENT_ACK) return;
    const ack = decodeServer(bytes);
    if (ack.type === 'ack') place = ack;
  };
  return socket;
}

/**
 * Returns a random direction, but away from a near edge.
 * @param {{ x: number, y: number } | undefined} place
 * @param {{ width: number, height: number }} world
 * @param {() => number} random
 * @returns {{ dx: import('./protocol.js').Part, dy: import('./protocol.js').Part }}
 */
export function heading(place, { width, height }, random) {
  const part = (/** @type {number | undefined} */ at, /** @type {number} */ side) => {
    if (at !== undefined && at < EDGE) return 1;
    if (at !== undefined && at > side - EDGE) return -1;
    return /** @type {import('./protocol.js').Part} */ (Math.floor(random() * 3) - 1);
  };
  return { dx: part(place?.x, width), dy: part(place?.y, height) };
}
