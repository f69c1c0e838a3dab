/**
 * Bots: players that move at random, each over its own connection, so that a single visitor sees a crowd.
 *
 * @module bots
 */

import { decodeServer, encodeClient, TYPE } from './protocol.js';
import { ATTACK_MS, WORLD_SIDE } from './world.js';

/** Time between two connections, in milliseconds: below the server's rate limit per address. */
const CONNECT_MS = 50;

/** Shortest and longest time between two actions, in milliseconds. */
const MIND_MS = [600, 4_000];

/** Probabilities of a pause and of an attack per action. */
const PAUSES = 0.25;
const ATTACKS = 0.15;

/** Distance from an edge at which a bot turns away, in units. */
const EDGE = 100;

/**
 * Connects bots one by one. A bot whose connection ends is not replaced.
 * @param {number} count
 * @param {string} address Address of the game.
 * @returns {() => number} A function that returns the number of connected bots.
 */
export function startBots(count, address, random = Math.random) {
  /** @type {WebSocket[]} */
  const sockets = [];
  for (let n = 0; n < count; n += 1) setTimeout(() => sockets.push(startBot(address, random)), n * CONNECT_MS);
  return () => sockets.filter(({ readyState }) => readyState === WebSocket.OPEN).length;
}

/**
 * @param {string} address
 * @param {() => number} random
 */
function startBot(address, random) {
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
      send({ type: 'attack' });
      setTimeout(() => send({ type: 'attackEnd' }), ATTACK_MS);
      wait = ATTACK_MS + 100;
    } else {
      const { dx, dy } = mind < ATTACKS + PAUSES ? { dx: /** @type {0} */ (0), dy: /** @type {0} */ (0) } : heading(place, random);
      if (dx !== 0) send({ type: 'direction', facing: dx > 0 ? 'right' : 'left' });
      send({ type: 'move', dx, dy, sequence });
    }
    timer = setTimeout(wander, wait);
  };
  socket.onopen = wander;
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
 * @param {() => number} random
 * @returns {{ dx: import('./protocol.js').Part, dy: import('./protocol.js').Part }}
 */
export function heading(place, random) {
  const part = (/** @type {number | undefined} */ at) => {
    if (at !== undefined && at < EDGE) return 1;
    if (at !== undefined && at > WORLD_SIDE - EDGE) return -1;
    return /** @type {import('./protocol.js').Part} */ (Math.floor(random() * 3) - 1);
  };
  return { dx: part(place?.x), dy: part(place?.y) };
}
