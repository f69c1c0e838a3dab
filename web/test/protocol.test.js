import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import * as protocol from '../protocol.js';

/** What a complaint must say about each kind of error of the vectors. */
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

test('a message may lie anywhere in a larger buffer', () => {
  const buffer = bytesOf('ffff0cec030000ffff');
  assert.deepEqual(protocol.decodeServer(buffer.subarray(2, 7)), { type: 'left', id: 1004 });
});

test('what does not fit its field is refused by name', () => {
  const move = { type: 'move', dx: 1, dy: 0, sequence: 1 };
  for (const [message, complaint] of [
    [{ ...move, sequence: 2 ** 32 }, /^sequence 4294967296: expected a whole number from 0 to 4294967295$/],
    [{ ...move, sequence: 1.5 }, /^sequence/],
    [{ ...move, dx: 2 }, /^dx 2: expected -1, 0 or 1$/],
    [{ ...move, x: 1 }, /^x and y/],
    [{ ...move, x: -1, y: 0 }, /^x -1/],
    [{ type: 'viewport', width: 65536, height: 1 }, /^width 65536/],
    [{ type: 'direction', facing: 'up' }, /^facing up/],
    [{ type: 'dance' }, /^no message of a client/],
  ]) {
    assert.throws(() => protocol.encodeClient(message), { name: 'ProtocolError', message: complaint });
  }
  const entry = { id: 1, x: 70_000, y: 0, dx: 0, dy: 0, state: 'idle', facing: 'left' };
  assert.throws(() => protocol.encodeServer({ type: 'joined', player: entry }), /^ProtocolError: x 70000/);
});
