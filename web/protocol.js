/**
 * The game's binary protocol: every message of both sides, from bytes to objects and back. No dependencies; runs in browsers
 * and in Node.js. One binary WebSocket message carries one of these messages; integers are little-endian.
 *
 * A client needs `encodeClient` and `decodeServer`; the other two functions are for servers, proxies and tests.
 *
 * ```js
 * socket.binaryType = 'arraybuffer';
 * socket.send(encodeClient({ type: 'move', dx: 1, dy: 0, sequence: 1, x: 104, y: 200 }));
 * socket.onmessage = ({ data }) => console.log(decodeServer(data));
 * ```
 *
 * @module protocol
 */

/**
 * A direction of movement along one axis.
 * @typedef {-1 | 0 | 1} Part
 */

/**
 * A player's activity.
 * @typedef {'idle' | 'moving' | 'attacking'} State
 */

/**
 * A player in GAME_STATE and PLAYER_JOINED.
 * @typedef {object} Entry
 * @property {number} id 1001 or higher; never reused while the server runs.
 * @property {number} x World units from the left edge, 0 to 65535.
 * @property {number} y World units from the top edge, 0 to 65535.
 * @property {Part} dx Direction of movement along x.
 * @property {Part} dy Direction of movement along y.
 * @property {State} state The player's activity.
 * @property {'left' | 'right'} facing The side the player faces.
 */

/**
 * A message from a client. In `move`, `x` and `y` are the client's own position *after* that step, in whole world units; both or
 * neither. In `attack` they are the screen point that the player aims at, which servers ignore; both or neither.
 * @typedef {{ type: 'join' }
 *   | { type: 'leave' }
 *   | { type: 'move', dx: Part, dy: Part, sequence: number, x?: number, y?: number }
 *   | { type: 'direction', facing: 'left' | 'right' }
 *   | { type: 'attack', x?: number, y?: number }
 *   | { type: 'attackEnd' }
 *   | { type: 'viewport', width: number, height: number }} ClientMessage
 */

/**
 * A message from the server. Positions are world units; `ack` acknowledges the MOVE with that sequence number.
 * @typedef {{ type: 'gameState', players: Entry[] }
 *   | { type: 'ack', id: number, x: number, y: number, sequence: number }
 *   | { type: 'joined', player: Entry }
 *   | { type: 'left', id: number }
 *   | { type: 'attack', id: number, x: number, y: number }
 *   | { type: 'direction', id: number, facing: 'left' | 'right' }
 *   | { type: 'movement', id: number, dx: Part, dy: Part }} ServerMessage
 */

/**
 * The payload of a binary WebSocket message: a buffer, or a view of one, such as `Uint8Array`, `DataView` or Node's `Buffer`.
 * A view is read from its offset, for its length.
 * @typedef {ArrayBufferLike | ArrayBufferView} Bytes
 */

/** First byte of each message. */
export const TYPE = Object.freeze({
  JOIN: 1,
  LEAVE: 2,
  MOVE: 3,
  DIRECTION: 4,
  ATTACK: 5,
  ATTACK_END: 6,
  GAME_STATE: 7,
  MOVEMENT_ACK: 8,
  PLAYER_JOINED: 11,
  PLAYER_LEFT: 12,
  VIEWPORT: 13,
  PLAYER_ATTACK: 253,
  PLAYER_DIRECTION: 254,
  PLAYER_MOVEMENT: 255,
});

/** Bytes of one player in GAME_STATE and PLAYER_JOINED. */
export const ENTRY_BYTES = 11;

const GAME_STATE_HEAD_BYTES = 5;
const FLAG_RIGHT = 0x80;
/** @type {State[]} */
const STATES = ['idle', 'moving', 'attacking'];
/** Longest text quoted in an error message. */
const SHOWN_CHARACTERS_MAX = 40;
const U8_MAX = 0xff;
const U16_MAX = 0xffff;
const U32_MAX = 0xffffffff;

/** Thrown for malformed bytes and for fields out of range. An argument of another type is a `TypeError`. */
export class ProtocolError extends Error {
  name = 'ProtocolError';
}

/**
 * Encodes a client's message as the payload of one binary WebSocket message.
 * @param {ClientMessage} message
 * @returns {Uint8Array<ArrayBuffer>}
 * @throws {ProtocolError} A field is missing or out of range.
 * @throws {TypeError} The message is not an object.
 */
export function encodeClient(message) {
  if (!isObject(message)) throw new TypeError(`expected a message as an object, got ${kindOf(message)}`);
  switch (message.type) {
    case 'join':
      return Uint8Array.of(TYPE.JOIN);
    case 'leave':
      return Uint8Array.of(TYPE.LEAVE);
    case 'move': {
      const hasClaim = isPair(message.x, message.y);
      const out = writer(TYPE.MOVE, hasClaim ? 14 : 6);
      out.setUint8(1, (part('dx', message.dx) + 1) | ((part('dy', message.dy) + 1) << 2));
      out.setUint32(2, whole('sequence', message.sequence, U32_MAX), true);
      if (hasClaim) {
        out.setUint32(6, whole('x', message.x, U32_MAX), true);
        out.setUint32(10, whole('y', message.y, U32_MAX), true);
      }
      return bytesOf(out);
    }
    case 'direction':
      return Uint8Array.of(TYPE.DIRECTION, isRight(message.facing) ? 1 : U8_MAX);
    case 'attack': {
      if (!isPair(message.x, message.y)) return Uint8Array.of(TYPE.ATTACK);
      const out = writer(TYPE.ATTACK, 9);
      out.setFloat32(1, real('x', message.x), true);
      out.setFloat32(5, real('y', message.y), true);
      return bytesOf(out);
    }
    case 'attackEnd':
      return Uint8Array.of(TYPE.ATTACK_END);
    case 'viewport': {
      const out = writer(TYPE.VIEWPORT, 5);
      out.setUint16(1, whole('width', message.width, U16_MAX), true);
      out.setUint16(3, whole('height', message.height, U16_MAX), true);
      return bytesOf(out);
    }
    default:
      throw new ProtocolError(`not a client message: type ${shown(/** @type {{ type?: unknown }} */ (message).type)}`);
  }
}

/**
 * Decodes a client's message from the payload of one binary WebSocket message.
 * @param {Bytes} payload
 * @returns {ClientMessage}
 * @throws {ProtocolError} The payload is not a client message.
 * @throws {TypeError} The payload is neither a buffer nor a view of one.
 */
export function decodeClient(payload) {
  const view = viewOf(payload);
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const lengths = CLIENT_LENGTHS.get(bytes[0]);
  if (!lengths) throw new ProtocolError(`unknown type ${bytes[0]}`);
  if (!lengths.includes(bytes.length)) throw wrongLength(bytes);
  switch (bytes[0]) {
    case TYPE.JOIN:
      return { type: 'join' };
    case TYPE.LEAVE:
      return { type: 'leave' };
    case TYPE.MOVE: {
      const packed = bytes[1];
      if (packed >> 4) throw new ProtocolError(`packed direction ${packed}`);
      const [dx, dy] = [partOf((packed & 3) - 1), partOf((packed >> 2) - 1)];
      const move = { type: /** @type {const} */ ('move'), dx, dy, sequence: view.getUint32(2, true) };
      return bytes.length === 6 ? move : { ...move, x: view.getUint32(6, true), y: view.getUint32(10, true) };
    }
    case TYPE.DIRECTION:
      if (bytes[1] !== 1 && bytes[1] !== U8_MAX) throw new ProtocolError(`direction ${bytes[1]}`);
      return { type: 'direction', facing: bytes[1] === 1 ? 'right' : 'left' };
    case TYPE.ATTACK:
      return bytes.length === 1
        ? { type: 'attack' }
        : { type: 'attack', x: view.getFloat32(1, true), y: view.getFloat32(5, true) };
    case TYPE.ATTACK_END:
      return { type: 'attackEnd' };
    default:
      return { type: 'viewport', width: view.getUint16(1, true), height: view.getUint16(3, true) };
  }
}

/**
 * Encodes a server's message as the payload of one binary WebSocket message.
 * @param {ServerMessage} message
 * @returns {Uint8Array<ArrayBuffer>}
 * @throws {ProtocolError} A field is missing or out of range.
 * @throws {TypeError} The message is not an object.
 */
export function encodeServer(message) {
  if (!isObject(message)) throw new TypeError(`expected a message as an object, got ${kindOf(message)}`);
  switch (message.type) {
    case 'gameState': {
      if (!Array.isArray(message.players)) throw new ProtocolError(`players ${shown(message.players)}: expected an array`);
      const out = writer(TYPE.GAME_STATE, GAME_STATE_HEAD_BYTES + ENTRY_BYTES * message.players.length);
      out.setUint32(1, message.players.length, true);
      message.players.forEach((player, n) => writeEntry(out, GAME_STATE_HEAD_BYTES + ENTRY_BYTES * n, player));
      return bytesOf(out);
    }
    case 'ack': {
      const out = writer(TYPE.MOVEMENT_ACK, 13);
      writePlace(out, message);
      out.setUint32(9, whole('sequence', message.sequence, U32_MAX), true);
      return bytesOf(out);
    }
    case 'joined': {
      const out = writer(TYPE.PLAYER_JOINED, 1 + ENTRY_BYTES);
      writeEntry(out, 1, message.player);
      return bytesOf(out);
    }
    case 'left': {
      const out = writer(TYPE.PLAYER_LEFT, 5);
      out.setUint32(1, whole('id', message.id, U32_MAX), true);
      return bytesOf(out);
    }
    case 'attack': {
      const out = writer(TYPE.PLAYER_ATTACK, 9);
      writePlace(out, message);
      return bytesOf(out);
    }
    case 'direction': {
      const out = writer(TYPE.PLAYER_DIRECTION, 6);
      out.setUint32(1, whole('id', message.id, U32_MAX), true);
      out.setUint8(5, isRight(message.facing) ? 1 : 0);
      return bytesOf(out);
    }
    case 'movement': {
      const out = writer(TYPE.PLAYER_MOVEMENT, 7);
      out.setUint32(1, whole('id', message.id, U32_MAX), true);
      out.setInt8(5, part('dx', message.dx));
      out.setInt8(6, part('dy', message.dy));
      return bytesOf(out);
    }
    default:
      throw new ProtocolError(`not a server message: type ${shown(/** @type {{ type?: unknown }} */ (message).type)}`);
  }
}

/**
 * Decodes a server's message from the payload of one binary WebSocket message.
 * @param {Bytes} payload
 * @returns {ServerMessage}
 * @throws {ProtocolError} The payload is not a server message.
 * @throws {TypeError} The payload is neither a buffer nor a view of one.
 */
export function decodeServer(payload) {
  const view = viewOf(payload);
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  if (bytes[0] === TYPE.GAME_STATE) return decodeGameState(bytes, view);
  const length = SERVER_LENGTHS.get(bytes[0]);
  if (length === undefined) throw new ProtocolError(`unknown type ${bytes[0]}`);
  if (bytes.length !== length) throw wrongLength(bytes);
  if (bytes[0] === TYPE.PLAYER_JOINED) return { type: 'joined', player: readEntry(view, 1) };
  const id = view.getUint32(1, true);
  switch (bytes[0]) {
    case TYPE.MOVEMENT_ACK:
      return { type: 'ack', ...readPlace(view), sequence: view.getUint32(9, true) };
    case TYPE.PLAYER_LEFT:
      return { type: 'left', id };
    case TYPE.PLAYER_ATTACK:
      return { type: 'attack', ...readPlace(view) };
    case TYPE.PLAYER_DIRECTION:
      if (bytes[5] > 1) throw new ProtocolError(`direction ${bytes[5]}`);
      return { type: 'direction', id, facing: bytes[5] === 1 ? 'right' : 'left' };
    default:
      return { type: 'movement', id, dx: partOf(view.getInt8(5)), dy: partOf(view.getInt8(6)) };
  }
}

/** @type {Map<number, number[]>} */
const CLIENT_LENGTHS = new Map([
  [TYPE.JOIN, [1]],
  [TYPE.LEAVE, [1]],
  [TYPE.MOVE, [6, 14]],
  [TYPE.DIRECTION, [2]],
  [TYPE.ATTACK, [1, 9]],
  [TYPE.ATTACK_END, [1]],
  [TYPE.VIEWPORT, [5]],
]);

/** @type {Map<number, number>} */
const SERVER_LENGTHS = new Map([
  [TYPE.MOVEMENT_ACK, 13],
  [TYPE.PLAYER_JOINED, 1 + ENTRY_BYTES],
  [TYPE.PLAYER_LEFT, 5],
  [TYPE.PLAYER_ATTACK, 9],
  [TYPE.PLAYER_DIRECTION, 6],
  [TYPE.PLAYER_MOVEMENT, 7],
]);

/**
 * @param {Uint8Array} bytes
 * @param {DataView} view
 * @returns {ServerMessage}
 */
function decodeGameState(bytes, view) {
  if (bytes.length < GAME_STATE_HEAD_BYTES) throw wrongLength(bytes);
  const count = view.getUint32(1, true);
  if (bytes.length !== GAME_STATE_HEAD_BYTES + ENTRY_BYTES * count) throw wrongLength(bytes);
  const players = Array.from({ length: count }, (_, n) => readEntry(view, GAME_STATE_HEAD_BYTES + ENTRY_BYTES * n));
  return { type: 'gameState', players };
}

/**
 * @param {DataView} view
 * @param {number} at
 * @returns {Entry}
 */
function readEntry(view, at) {
  const flags = view.getUint8(at + 10);
  const state = STATES[flags & ~FLAG_RIGHT];
  if (!state) throw new ProtocolError(`flags ${flags}`);
  return {
    id: view.getUint32(at, true),
    x: view.getUint16(at + 4, true),
    y: view.getUint16(at + 6, true),
    dx: partOf(view.getInt8(at + 8)),
    dy: partOf(view.getInt8(at + 9)),
    state,
    facing: flags & FLAG_RIGHT ? 'right' : 'left',
  };
}

/**
 * @param {DataView} out
 * @param {number} at
 * @param {Entry} entry
 */
function writeEntry(out, at, entry) {
  if (!isObject(entry)) throw new ProtocolError(`player ${shown(entry)}: expected an object`);
  const state = STATES.indexOf(entry.state);
  if (state < 0) throw new ProtocolError(`state ${shown(entry.state)}: expected idle, moving or attacking`);
  out.setUint32(at, whole('id', entry.id, U32_MAX), true);
  out.setUint16(at + 4, whole('x', entry.x, U16_MAX), true);
  out.setUint16(at + 6, whole('y', entry.y, U16_MAX), true);
  out.setInt8(at + 8, part('dx', entry.dx));
  out.setInt8(at + 9, part('dy', entry.dy));
  out.setUint8(at + 10, state | (isRight(entry.facing) ? FLAG_RIGHT : 0));
}

/** @param {DataView} view */
function readPlace(view) {
  return { id: view.getUint32(1, true), x: view.getUint16(5, true), y: view.getUint16(7, true) };
}

/**
 * @param {DataView} out
 * @param {{ id: number, x: number, y: number }} place
 */
function writePlace(out, { id, x, y }) {
  out.setUint32(1, whole('id', id, U32_MAX), true);
  out.setUint16(5, whole('x', x, U16_MAX), true);
  out.setUint16(7, whole('y', y, U16_MAX), true);
}

/**
 * @param {number} type
 * @param {number} length
 */
function writer(type, length) {
  const out = new DataView(new ArrayBuffer(length));
  out.setUint8(0, type);
  return out;
}

/** @param {DataView<ArrayBuffer>} out */
const bytesOf = (out) => new Uint8Array(out.buffer);

/** Type tags of buffers. They also match buffers of other frames and contexts, which `instanceof` does not. */
const BUFFERS = ['[object ArrayBuffer]', '[object SharedArrayBuffer]'];

/**
 * @param {Bytes} payload
 * @returns {DataView}
 */
function viewOf(payload) {
  const view = ArrayBuffer.isView(payload)
    ? new DataView(payload.buffer, payload.byteOffset, payload.byteLength)
    : new DataView(bufferOf(payload));
  if (view.byteLength === 0) throw new ProtocolError('empty');
  return view;
}

/**
 * @param {unknown} payload
 * @returns {ArrayBufferLike}
 */
function bufferOf(payload) {
  if (BUFFERS.includes(toString.call(payload))) return /** @type {ArrayBufferLike} */ (payload);
  const hint = kindOf(payload) === 'a Blob' ? "; set the socket's binaryType to 'arraybuffer'" : '';
  throw new TypeError(`expected an ArrayBuffer or a view of one, such as Uint8Array, got ${kindOf(payload)}${hint}`);
}

const { toString } = Object.prototype;

/**
 * Describes the type of a value, for error messages.
 * @param {unknown} value
 */
function kindOf(value) {
  if (value === null || value === undefined) return String(value);
  const kind = typeof value === 'object' ? toString.call(value).slice('[object '.length, -1) : typeof value;
  return `${/^[aeio]/i.test(kind) ? 'an' : 'a'} ${kind}`;
}

/**
 * Formats a short value as in code, for error messages.
 * @param {unknown} value
 */
function shown(value) {
  if (isObject(value) || typeof value === 'function') return kindOf(value);
  if (typeof value === 'string') return value.length > SHOWN_CHARACTERS_MAX ? kindOf(value) : JSON.stringify(value);
  return typeof value === 'bigint' ? kindOf(value) : String(value);
}

/**
 * @param {unknown} value
 * @returns {value is object}
 */
const isObject = (value) => typeof value === 'object' && value !== null;

/** @param {Uint8Array} bytes */
const wrongLength = (bytes) => new ProtocolError(`type ${bytes[0]} with ${bytes.length} bytes`);

/**
 * @param {string} name
 * @param {unknown} value
 * @param {number} max
 */
function whole(name, value, max) {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > max) {
    throw new ProtocolError(`${name} ${shown(value)}: expected a whole number from 0 to ${max}`);
  }
  return value;
}

/**
 * @param {string} name
 * @param {unknown} value
 */
function real(name, value) {
  if (typeof value !== 'number') throw new ProtocolError(`${name} ${shown(value)}: expected a number`);
  return value;
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {Part}
 */
function part(name, value) {
  if (value === 0 || value === 1 || value === -1) return value;
  throw new ProtocolError(`${name} ${shown(value)}: expected -1, 0 or 1`);
}

/**
 * @param {number} value
 * @returns {Part}
 */
const partOf = (value) => part('direction', value);

/** @param {unknown} facing */
function isRight(facing) {
  if (facing !== 'left' && facing !== 'right') throw new ProtocolError(`facing ${shown(facing)}: expected left or right`);
  return facing === 'right';
}

/**
 * @param {number | undefined} x
 * @param {number | undefined} y
 */
function isPair(x, y) {
  if ((x === undefined) !== (y === undefined)) throw new ProtocolError('x and y: expected both or neither');
  return x !== undefined;
}
