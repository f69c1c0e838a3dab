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
export type Part = -1 | 0 | 1;
export type State = 'idle' | 'moving' | 'attacking';
export type Entry = {
    /**
     * 1001 or higher; never reused while the server runs.
     */
    id: number;
    /**
     * World units from the left edge, 0 to 65535.
     */
    x: number;
    /**
     * World units from the top edge, 0 to 65535.
     */
    y: number;
    /**
     * Direction of movement along x.
     */
    dx: Part;
    /**
     * Direction of movement along y.
     */
    dy: Part;
    /**
     * The player's activity.
     */
    state: State;
    /**
     * The side the player faces.
     */
    facing: 'left' | 'right';
};
export type ClientMessage = {
    type: 'join';
} | {
    type: 'leave';
} | {
    type: 'move';
    dx: Part;
    dy: Part;
    sequence: number;
    x?: number;
    y?: number;
} | {
    type: 'direction';
    facing: 'left' | 'right';
} | {
    type: 'attack';
    x?: number;
    y?: number;
} | {
    type: 'attackEnd';
} | {
    type: 'viewport';
    width: number;
    height: number;
};
export type ServerMessage = {
    type: 'gameState';
    players: Entry[];
} | {
    type: 'ack';
    id: number;
    x: number;
    y: number;
    sequence: number;
} | {
    type: 'joined';
    player: Entry;
} | {
    type: 'left';
    id: number;
} | {
    type: 'attack';
    id: number;
    x: number;
    y: number;
} | {
    type: 'direction';
    id: number;
    facing: 'left' | 'right';
} | {
    type: 'movement';
    id: number;
    dx: Part;
    dy: Part;
};
export type Bytes = ArrayBufferLike | ArrayBufferView;
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
export declare const TYPE: Readonly<{
    JOIN: 1;
    LEAVE: 2;
    MOVE: 3;
    DIRECTION: 4;
    ATTACK: 5;
    ATTACK_END: 6;
    GAME_STATE: 7;
    MOVEMENT_ACK: 8;
    PLAYER_JOINED: 11;
    PLAYER_LEFT: 12;
    VIEWPORT: 13;
    PLAYER_ATTACK: 253;
    PLAYER_DIRECTION: 254;
    PLAYER_MOVEMENT: 255;
}>;
/** Bytes of one player in GAME_STATE and PLAYER_JOINED. */
export declare const ENTRY_BYTES = 11;
/** Thrown for malformed bytes and for fields out of range. An argument of another type is a `TypeError`. */
export declare class ProtocolError extends Error {
    name: string;
}
/**
 * Encodes a client's message as the payload of one binary WebSocket message.
 * @param {ClientMessage} message
 * @returns {Uint8Array<ArrayBuffer>}
 * @throws {ProtocolError} A field is missing or out of range.
 * @throws {TypeError} The message is not an object.
 */
export declare function encodeClient(message: ClientMessage): Uint8Array<ArrayBuffer>;
/**
 * Decodes a client's message from the payload of one binary WebSocket message.
 * @param {Bytes} payload
 * @returns {ClientMessage}
 * @throws {ProtocolError} The payload is not a client message.
 * @throws {TypeError} The payload is neither a buffer nor a view of one.
 */
export declare function decodeClient(payload: Bytes): ClientMessage;
/**
 * Encodes a server's message as the payload of one binary WebSocket message.
 * @param {ServerMessage} message
 * @returns {Uint8Array<ArrayBuffer>}
 * @throws {ProtocolError} A field is missing or out of range.
 * @throws {TypeError} The message is not an object.
 */
export declare function encodeServer(message: ServerMessage): Uint8Array<ArrayBuffer>;
/**
 * Decodes a server's message from the payload of one binary WebSocket message.
 * @param {Bytes} payload
 * @returns {ServerMessage}
 * @throws {ProtocolError} The payload is not a server message.
 * @throws {TypeError} The payload is neither a buffer nor a view of one.
 */
export declare function decodeServer(payload: Bytes): ServerMessage;
