import assert from 'node:assert/strict';
import { test } from 'node:test';

import { DEFAULT_RULES } from '../rules.js';
import { median, World } from '../world.js';

const { stepMs: STEP_MS, stepUnits: STEP_UNITS, attackMs: ATTACK_MS } = DEFAULT_RULES;

const entry = (id, x, y, more = {}) => ({ id, x, y, dx: 0, dy: 0, state: 'idle', facing: 'right', ...more });

/** A world whose own player is 1003, at 300/300. */
function entered(others = [], now = 0, rules = DEFAULT_RULES) {
  const world = new World(rules);
  world.receive({ type: 'gameState', players: [...others, entry(1003, 300, 300)] }, now);
  return world;
}

const near = (actual, expected) =>
  assert.ok(Math.hypot(actual.x - expected.x, actual.y - expected.y) < 0.01, JSON.stringify({ actual, expected }));

test('only the first state determines the own player, by the highest id', () => {
  const world = entered([entry(1001, 1, 1)]);
  world.receive({ type: 'gameState', players: [entry(1009, 5, 5)] }, 10);
  assert.equal(world.own.id, 1003);
  assert.deepEqual([...world.remotes.keys()], [1009]);
});

test('steps are visible immediately, and matching acks change nothing', () => {
  const { own } = entered();
  const moves = [1, 2, 3].map((n) => own.step(1, 0, n * STEP_MS));
  assert.deepEqual(moves.map(({ sequence, x }) => [sequence, x]), [[1, 304], [2, 308], [3, 312]]);
  own.acknowledge({ x: 304, y: 300, sequence: 1 }, 3 * STEP_MS + 5);
  assert.equal(own.unanswered, 2);
  assert.ok(Math.abs(own.pingMs - (2 * STEP_MS + 5)) < 1e-9);
  near(own.drawn(4 * STEP_MS), { x: 312, y: 300 });
  assert.equal(own.corrections, 0);
});

test('between steps the own player moves evenly', () => {
  const { own } = entered();
  own.step(1, 1, 1000);
  near(own.drawn(1000 + STEP_MS / 2), { x: 302, y: 302 });
  near(own.drawn(1000 + STEP_MS * 5), { x: 304, y: 304 });
});

test('a differing ack replaces the position, later steps are replayed, and the drawn position glides there', () => {
  const { own } = entered();
  for (let n = 1; n <= 4; n += 1) own.step(1, 0, n * STEP_MS);
  const now = 5 * STEP_MS;
  const before = own.drawn(now);
  own.acknowledge({ x: 280, y: 300, sequence: 2 }, now);
  assert.deepEqual([own.x, own.y], [280 + 2 * STEP_UNITS, 300]);
  near(own.drawn(now), before);
  near(own.drawn(now + 5_000), { x: 288, y: 300 });
  assert.equal(own.corrections, 1);
});

test('no player leaves the world', () => {
  const world = new World();
  world.receive({ type: 'gameState', players: [entry(1001, 1999, 0)] }, 0);
  world.own.step(1, -1, 0);
  assert.deepEqual([world.own.x, world.own.y], [2000, 0]);
  world.receive({ type: 'joined', player: entry(1002, 1990, 5) }, 0);
  world.receive({ type: 'movement', id: 1002, dx: 1, dy: -1 }, 0);
  near(world.remotes.get(1002).drawn(10_000), { x: 2000, y: 0 });
});

test('steps with a fraction claim the nearest whole position and add up without error, to the edge of a wide world', () => {
  const { own } = entered([], 0, { ...DEFAULT_RULES, width: 4000, height: 3000, stepUnits: 5.333 });
  for (let n = 1; n <= 1_000; n += 1) {
    const { x, y, sequence } = own.step(1, 1, n * STEP_MS);
    assert.deepEqual([x, y], [4000, 3000].map((side) => Math.round(Math.min(300 + (n * 5333) / 1000, side))), `step ${n}`);
    own.acknowledge({ x, y, sequence }, n * STEP_MS + 1);
  }
  assert.deepEqual([own.x, own.y, own.corrections], [4000, 3000, 0]);
  own.step(-1, 0, 2_000_000);
  assert.equal(own.x, 3994.667);
});

test('changed rules apply from now on, to the own player and to the others', () => {
  const world = entered([entry(1001, 100, 100)]);
  world.receive({ type: 'movement', id: 1001, dx: 1, dy: 0 }, 0);
  world.obey({ ...DEFAULT_RULES, width: 4000, stepUnits: 8, attackMs: 3000 }, 500);
  near(world.remotes.get(1001).drawn(1_000), { x: 100 + 48 + 96, y: 100 });
  near(world.remotes.get(1001).drawn(60_000), { x: 4000, y: 100 });
  assert.equal(world.own.step(0, 1, 1_000).y, 308);
  world.receive({ type: 'attack', id: 1001, x: 120, y: 100 }, 2_000);
  assert.deepEqual([4_999, 5_000].map((now) => world.remotes.get(1001).state(now)), ['attacking', 'idle']);
  world.receive({ type: 'joined', player: entry(1002, 0, 0) }, 6_000);
  world.receive({ type: 'movement', id: 1002, dx: 1, dy: 0 }, 6_000);
  near(world.remotes.get(1002).drawn(7_000), { x: 192, y: 0 });
});

test('the ping is the median of the last ten seconds', () => {
  assert.deepEqual([[], [7], [9, 1], [5, 100, 1]].map(median), [undefined, 7, 5, 5]);
  const { own } = entered();
  assert.equal(own.pingMs, undefined);
  const ping = (now, ms) => own.acknowledge({ ...own.step(0, 0, now), x: 300, y: 300 }, now + ms);
  for (const [n, ms] of [20, 400, 22, 21, 24].entries()) ping(n * 100, ms);
  assert.equal(own.pingMs, 22, 'one slow ack does not count');
  ping(12_000, 90);
  assert.equal(own.pingMs, 90, 'earlier acks are too old');
});

test('other players move along their vector until the next one', () => {
  const world = entered();
  world.receive({ type: 'joined', player: entry(1001, 100, 100) }, 0);
  world.receive({ type: 'movement', id: 1001, dx: 1, dy: -1 }, 0);
  near(world.remotes.get(1001).drawn(500), { x: 148, y: 52 });
  world.receive({ type: 'movement', id: 1001, dx: 0, dy: 0 }, 500);
  near(world.remotes.get(1001).drawn(9_000), { x: 148, y: 52 });
  assert.equal(world.remotes.get(1001).state(9_000), 'idle');
});

test('a snapshot corrects other players, without a jump if the correction is small', () => {
  const world = entered([entry(1001, 100, 100), entry(1002, 100, 100)]);
  world.receive({ type: 'gameState', players: [entry(1001, 110, 100), entry(1002, 900, 100)] }, 1_000);
  near(world.remotes.get(1001).drawn(1_000), { x: 100, y: 100 });
  near(world.remotes.get(1001).drawn(5_000), { x: 110, y: 100 });
  near(world.remotes.get(1002).drawn(1_000), { x: 900, y: 100 });
});

test('an attacking player stands still for the attack, and walking ends it', () => {
  const world = entered([entry(1001, 100, 100)]);
  const other = world.remotes.get(1001);
  world.receive({ type: 'movement', id: 1001, dx: 1, dy: 0 }, 0);
  world.receive({ type: 'attack', id: 1001, x: 120, y: 100 }, 200);
  assert.equal(other.state(201), 'attacking');
  near(other.drawn(200 + ATTACK_MS - 1), { x: 120, y: 100 });
  assert.equal(other.state(200 + ATTACK_MS), 'idle');
  world.receive({ type: 'attack', id: 1001, x: 120, y: 100 }, 3_000);
  world.receive({ type: 'movement', id: 1001, dx: 1, dy: 0 }, 3_100);
  assert.equal(other.state(3_101), 'moving');
});

test('a player that left is removed, and messages about unknown players are ignored', () => {
  const world = entered([entry(1001, 100, 100)]);
  world.receive({ type: 'left', id: 1001 }, 1);
  for (const message of [
    { type: 'left', id: 1001 },
    { type: 'movement', id: 1001, dx: 1, dy: 0 },
    { type: 'direction', id: 1001, facing: 'left' },
    { type: 'attack', id: 1001, x: 1, y: 1 },
    { type: 'ack', id: 1003, x: 1, y: 1, sequence: 77 },
  ]) {
    world.receive(message, 2);
  }
  assert.equal(world.remotes.size, 0);
  assert.deepEqual([world.own.x, world.own.corrections], [300, 0]);
});
