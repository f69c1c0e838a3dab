import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';

import * as protocol from '../protocol.js';

/** Pattern of the error message for each kind of error in the vectors. */
const COMPLAINTS = {
  empty: /^empty$/,
  length: /^type \d+ with \d+ bytes$/,
  type: /^unknown type \d+$/,
  direction: /direction/,
  flags: /^flags \d+$/,
};

const vectors = JSON.parse(readFileSync(new URL('../vectors.json', import.meta.url), 'utf8'));
const bytesOf = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16));
const decode = { client: protocol.decodeClient, server: protocol.decodeServer };
const encode = { client: protocol.encodeClient, server: protocol.encodeServer };

for (const { from, hex, message, error } of vectors) {
  test(`${from} ${hex} is ${error ? `an error: ${error}` : message.type}`, () => {
    const bytes = bytesOf(hex);
    if (error) {
      assert.throws(() => decode[from](bytes), { name: 'ProtocolError', message: COMPLAINTS[error] });
    } else {
      assert.deepEqual(decode[from](bytes), message);
      assert.deepEqual(encode[from](message), bytes);
    }
  });
}

test('a payload is a buffer, or a view of one with its offset and length', () => {
  const around = bytesOf('ffff0cec030000ffff');
  const payload = around.slice(2, 7);
  const shared = new SharedArrayBuffer(5);
  new Uint8Array(shared).set(payload);
  const payloads = {
    Uint8Array: around.subarray(2, 7),
    'Int8Array with an offset': new Int8Array(around.buffer, 2, 5),
    'DataView with an offset': new DataView(around.buffer, 2, 5),
    'Buffer of the pool': Buffer.from(payload),
    'Buffer with an offset': Buffer.from(around.buffer, 2, 5),
    ArrayBuffer: payload.buffer,
    SharedArrayBuffer: shared,
    'ArrayBuffer of another context': runInNewContext('Uint8Array.of(12, 236, 3, 0, 0).buffer'),
    'Uint8Array of another context': runInNewContext('Uint8Array.of(12, 236, 3, 0, 0)'),
  };
  for (const [name, payload] of Object.entries(payloads)) {
    assert.deepEqual(protocol.decodeServer(payload), { type: 'left', id: 1004 }, name);
  }
  const words = new Uint16Array(around.buffer.slice(2, 4));
  assert.throws(() => protocol.decodeServer(words), { name: 'ProtocolError', message: 'type 12 with 2 bytes' });
  const direction = new DataView(bytesOf('ff0401ff').buffer, 1, 2);
  assert.deepEqual(protocol.decodeClient(direction), { type: 'direction', facing: 'right' });
  assert.throws(() => protocol.decodeClient(new ArrayBuffer(0)), { name: 'ProtocolError', message: 'empty' });
});

test('an argument that is not a buffer throws a TypeError that names the expected types', () => {
  const expected = 'expected an ArrayBuffer or a view of one, such as Uint8Array, got ';
  const strangers = [
    [[1, 2], 'an Array'],
    ['\u0001', 'a string'],
    [undefined, 'undefined'],
    [null, 'null'],
    [7, 'a number'],
    [{ 0: 1, length: 1 }, 'an Object'],
    [() => 1, 'a function'],
    [new Blob(['x']), "a Blob; set the socket's binaryType to 'arraybuffer'"],
  ];
  for (const decode of [protocol.decodeClient, protocol.decodeServer]) {
    for (const [payload, got] of strangers) {
      assert.throws(() => decode(payload), { name: 'TypeError', message: expected + got });
    }
  }
  for (const encode of [protocol.encodeClient, protocol.encodeServer]) {
    for (const message of [undefined, null, 'join', 1]) {
      assert.throws(() => encode(message), { name: 'TypeError', message: /^expected a message as an object, got / });
    }
  }
});

test('a value out of range throws an error that names the field', () => {
  const move = { type: 'move', dx: 1, dy: 0, sequence: 1 };
  for (const [message, complaint] of [
    [{ ...move, sequence: 2 ** 32 }, /^sequence 4294967296: expected a whole number from 0 to 4294967295$/],
    [{ ...move, sequence: 1.5 }, /^sequence/],
    [{ ...move, dx: 2 }, /^dx 2: expected -1, 0 or 1$/],
    [{ ...move, x: 1 }, /^x and y/],
    [{ ...move, x: -1, y: 0 }, /^x -1/],
    [{ type: 'viewport', width: 65536, height: 1 }, /^width 65536/],
    [{ type: 'direction', facing: 'up' }, /^facing "up": expected left or right$/],
    [{ ...move, sequence: 1n }, /^sequence a bigint: expected a whole number/],
    [{ ...move, dx: 'x'.repeat(1_000_000) }, /^dx a string: expected -1, 0 or 1$/],
    [{ type: 'attack', x: '1', y: Symbol('s') }, /^x "1": expected a number$/],
    [{ type: 'dance' }, /^not a client message: type "dance"$/],
    [{}, /^not a client message: type undefined$/],
    [{ type: Object.create(null) }, /^not a client message: type an Object$/],
  ]) {
    assert.throws(() => protocol.encodeClient(message), { name: 'ProtocolError', message: complaint });
  }
  const entry = { id: 1, x: 70_000, y: 0, dx: 0, dy: 0, state: 'idle', facing: 'left' };
  assert.throws(() => protocol.encodeServer({ type: 'joined', player: entry }), /^ProtocolError: x 70000/);
  for (const [message, complaint] of [
    [{ type: 'gameState' }, /^players undefined: expected an array$/],
    [{ type: 'gameState', players: [null] }, /^player null: expected an object$/],
    [{ type: 'joined' }, /^player undefined: expected an object$/],
    [{ type: 'joined', player: { ...entry, x: 0, state: 'asleep' } }, /^state "asleep": expected idle, moving or attacking$/],
    [{ type: 'dance' }, /^not a server message: type "dance"$/],
  ]) {
    assert.throws(() => protocol.encodeServer(message), { name: 'ProtocolError', message: complaint });
  }
});
