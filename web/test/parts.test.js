import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Bots, heading } from '../bots.js';
import { Connection, gameAddress, reasonOfRefusal, waitMs } from '../connection.js';
import { axis, axisTexts, nearest } from '../chart.js';
import { allNodes, checkedMetrics, duration, History, judge, sample, SECONDS_KEPT, short } from '../history.js';
import { dragDirection } from '../input.js';
import { askServer, Population } from '../population.js';
import { askRules, DEFAULT_RULES, Rulebook } from '../rules.js';
import { namesInOrder } from '../scene.js';

test('the address of the game follows that of the page', () => {
  assert.equal(gameAddress('http://localhost:8108/'), 'ws://localhost:8108/ws');
  assert.equal(gameAddress('https://game.example/play?bots=5#x'), 'wss://game.example/ws');
  assert.equal(gameAddress('https://example.com/game/'), 'wss://example.com/game/ws');
  assert.equal(gameAddress('http://example.com/game/play'), 'ws://example.com/game/ws');
});

test('the backoff grows to a bound and has jitter', () => {
  assert.deepEqual([0, 1, 2].map((attempt) => waitMs(attempt, () => 1)), [500, 1000, 2000]);
  assert.equal(waitMs(50, () => 1), 10_000);
  assert.equal(waitMs(50, () => 0), 5_000);
});

test('a connection reconnects by itself, unless the server closed it because of the player', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { WebSocket } = globalThis;
  t.after(() => { globalThis.WebSocket = WebSocket; });
  const sockets = [];
  globalThis.WebSocket = class {
    constructor() { sockets.push(this); }
    close() {}
  };
  /** Returns the notice of a close, and the number of attempts in the minute after it. */
  const closedBy = (code, reason = '') => {
    const statuses = [];
    const connection = new Connection({ address: 'ws://game', onOpen: () => {}, onStatus: (status) => statuses.push(status) });
    const before = sockets.length;
    sockets.at(-1).onopen();
    sockets.at(-1).onclose({ code, reason });
    const { reason: notice, until } = statuses.at(-1);
    t.mock.timers.tick(60_000);
    const attempts = sockets.length - before;
    if (until === Infinity) connection.retry();
    assert.equal(statuses.at(-1).is, 'connecting');
    connection.close();
    return [attempts, notice];
  };
  for (const code of [1000, 1001, 1006, 1011, 1012, 1013]) assert.equal(closedBy(code)[0], 1, `close ${code}`);
  assert.deepEqual(closedBy(1008, 'no bots, please'), [0, 'The server closed the connection: no bots, please.']);
  assert.deepEqual(closedBy(1008), [0, 'The server closed the connection.']);
  assert.deepEqual(closedBy(4100, 'too old'), [0, 'The server closed the connection: too old.']);
  assert.deepEqual(closedBy(4001, 'joined elsewhere'), [0, 'You have joined in another window.']);
});

test('the reason of a refusal comes from the health response, or is generic', async () => {
  const answer = (status) => async () => ({ json: async () => ({ status }) });
  assert.match(await reasonOfRefusal(answer('draining')), /no new players/);
  assert.match(await reasonOfRefusal(async () => ({ status: 403 })), /refuses connections/);
  assert.match(await reasonOfRefusal(answer('healthy')), /full/);
  assert.match(await reasonOfRefusal(async () => { throw new TypeError('refused'); }), /does not respond/);
});

test('a health response has the number of players in the world', async () => {
  const answer = (health) => async () => ({ json: async () => health });
  assert.equal(await askServer(answer({ status: 'draining', players: 7 })), 7);
  assert.equal(await askServer(answer({ players: 7, cluster: 'ok', players_in_world: 20 })), 20);
  await assert.rejects(askServer(answer({ status: 'healthy' })), /expected a number of players/);
});

/** A population with scripted responses and times. */
function asked() {
  const questions = [];
  const population = new Population(() => new Promise((answer, fail) => questions.push({ answer, fail })));
  const at = (now) => ({
    follow: (inView) => population.follow(inView, () => now),
    count: (inView) => population.count(inView, now),
  });
  return { population, questions, at };
}

test('the number of players is unknown until the first response and then follows it', async () => {
  const { questions, at } = asked();
  assert.equal(at(0).count(1), undefined);
  const first = at(0).follow(1);
  at(10).follow(2);
  assert.equal(questions.length, 1, 'one request at a time');
  assert.equal(at(10).count(2), undefined);
  questions[0].answer(6);
  await first;
  assert.deepEqual([at(20).count(2), at(20).count(8)], [6, 8], 'players in view count at once');
  at(1_999).follow(2);
  assert.equal(questions.length, 1);
  const second = at(2_000).follow(2);
  assert.equal(questions.length, 2, 'the view changed');
  questions[1].answer(7);
  await second;
  assert.equal(at(2_100).count(1), 7);
  at(6_999).follow(2);
  assert.equal(questions.length, 2);
  at(7_000).follow(2);
  assert.equal(questions.length, 3, 'the view did not change');
});

test('a number of players that is stale or from an earlier connection is not shown', async () => {
  const { population, questions, at } = asked();
  const first = at(0).follow(1);
  population.forget();
  const second = at(1).follow(1);
  questions[0].answer(90);
  await first;
  assert.equal(at(2).count(1), undefined);
  questions[1].answer(3);
  await second;
  const third = at(5_001).follow(1);
  questions[2].fail(new TypeError('refused'));
  await third;
  assert.deepEqual([at(15_000).count(1), at(15_002).count(1)], [3, undefined]);
  const fourth = at(15_003).follow(1);
  questions[3].answer(4);
  await fourth;
  assert.equal(at(15_003).count(1), 4);
});

const RULES = { world_width: 4000, world_height: 3000, player_speed: 5.333, steps_per_s: 24, attack_duration_ms: 700 };

test('the rules come from the server, and an incomplete or failed answer is an error', async () => {
  const answer = (json, ok = true, status = 200) => async () => ({ ok, status, json: async () => json });
  assert.deepEqual(
    await askRules(answer(RULES)),
    { width: 4000, height: 3000, stepUnits: 5.333, stepMs: 1000 / 24, attackMs: 700, connectionsPerAccount: Infinity },
  );
  const limit = async (connections) =>
    (await askRules(answer({ ...RULES, connections_per_account: connections }))).connectionsPerAccount;
  assert.deepEqual([await limit(1), await limit(1000), await limit(undefined)], [1, 1000, Infinity]);
  for (const wrong of ['1', 0, -1, 1.5, null]) {
    await assert.rejects(limit(wrong), new RegExp(`connections_per_account is ${JSON.stringify(wrong)}`));
  }
  await assert.rejects(askRules(answer({}, false, 404)), /status 404/);
  await assert.rejects(askRules(answer(null)), /world_width is undefined/);
  for (const wrong of ['4000', 0, -1, null, undefined]) {
    await assert.rejects(askRules(answer({ ...RULES, world_height: wrong })), new RegExp(`world_height is ${JSON.stringify(wrong)}`));
  }
});

test('the rules are followed, and stay as they are while the server does not answer', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const questions = [];
  const ends = [];
  const book = new Rulebook(
    (failure) => ends.push(failure?.message),
    () => new Promise((answer, fail) => questions.push({ answer, fail })),
  );
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  book.begin();
  assert.deepEqual([book.isSettled, book.rules], [false, DEFAULT_RULES]);
  questions[0].fail(new Error('status 404'));
  await settle();
  assert.deepEqual([book.isSettled, book.rules, ends], [true, DEFAULT_RULES, ['status 404']]);
  t.mock.timers.tick(5_000);
  questions[1].answer('first');
  await settle();
  t.mock.timers.tick(30_000);
  assert.deepEqual([questions.length, book.rules, book.isSettled], [3, 'first', true]);
  book.begin();
  assert.equal(book.isSettled, false, 'a new connection may lead to other rules');
  questions[2].answer('of the earlier connection');
  await settle();
  assert.deepEqual([book.rules, book.isSettled], ['first', false]);
  questions[3].answer('second');
  await settle();
  assert.deepEqual([book.rules, ends], ['second', ['status 404', undefined, undefined]]);
  book.end();
  t.mock.timers.tick(60_000);
  assert.equal(questions.length, 4, 'no request without a connection');
});

test('an exception of a caller does not end the requests for the rules', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let requests = 0;
  const book = new Rulebook(
    () => { if (requests === 1) throw new Error('no panel'); },
    async () => { requests += 1; return DEFAULT_RULES; },
  );
  await assert.rejects(book.begin(), /no panel/);
  t.mock.timers.tick(30_000);
  assert.equal(requests, 2);
  book.end();
});

test('a correction makes the rules be requested, but neither twice at a time nor within two seconds', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const questions = [];
  const book = new Rulebook(() => undefined, () => new Promise((answer, fail) => questions.push({ answer, fail })));
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  book.doubt(0);
  assert.equal(questions.length, 0, 'no connection');
  book.begin();
  book.doubt(10);
  assert.equal(questions.length, 1, 'the first request is pending');
  questions[0].answer('first');
  await settle();
  book.doubt(1_000);
  book.doubt(1_001);
  assert.deepEqual([questions.length, book.isSettled, book.rules], [2, true, 'first']);
  questions[1].answer('second');
  await settle();
  book.doubt(2_999);
  assert.deepEqual([questions.length, book.rules], [2, 'second']);
  book.doubt(3_000);
  assert.equal(questions.length, 3);
  questions[2].fail(new Error('status 503'));
  await settle();
  t.mock.timers.tick(5_000);
  assert.equal(questions.length, 4, 'the ordinary requests go on');
  questions[3].answer('third');
  await settle();
  t.mock.timers.tick(29_999);
  assert.equal(questions.length, 4);
  t.mock.timers.tick(1);
  assert.equal(questions.length, 5);
  questions[4].answer('fourth');
  await settle();
  book.end();
  book.doubt(100_000);
  assert.deepEqual([questions.length, book.rules], [5, 'fourth']);
});

test('a page has no bots before it knows the rules, and then as many as its account allows beside it', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const sockets = [];
  const { WebSocket } = globalThis;
  t.after(() => Object.assign(globalThis, { WebSocket }));
  globalThis.WebSocket = class {
    static OPEN = 1;
    readyState = 0;
    constructor() { sockets.push(this); }
  };
  const answers = [];
  const book = new Rulebook(() => undefined, () => new Promise((answer) => answers.push(answer)));
  const bots = new Bots('ws://localhost/ws', () => book.rules, () => book.botsMax);
  book.begin();
  assert.equal(bots.room, 0);
  answers[0]({ ...DEFAULT_RULES, connectionsPerAccount: 3 });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(bots.room, 2);
  bots.add(50);
  assert.equal(bots.room, 0);
  bots.add(50);
  t.mock.timers.tick(10_000);
  assert.equal(sockets.length, 2);
  book.rules = { ...DEFAULT_RULES, connectionsPerAccount: 1 };
  assert.equal(bots.room, 0);
  book.rules = { ...DEFAULT_RULES };
  assert.equal(bots.room, 198, 'without accounts, the page has its own limit');
  book.end();
});

test('names are those of the nearest players, and the own name is drawn last', () => {
  const others = Array.from({ length: 70 }, (_, n) => ({ id: n, x: n, y: 0, isOwn: false }));
  const own = { id: 99, x: 0, y: 500, isOwn: true };
  const ids = (figures) => namesInOrder(figures, { x: 0, y: 0 }).map(({ id }) => id);
  assert.deepEqual(ids([own, ...others.slice(0, 2)]), [0, 1, 99]);
  assert.deepEqual(ids([...others, own]), [...Array.from({ length: 60 }, (_, n) => 59 - n), 99]);
});

test('a drag gives one of eight directions, or none', () => {
  assert.deepEqual(dragDirection(3, 4), [0, 0]);
  assert.deepEqual(dragDirection(60, 5), [1, 0]);
  assert.deepEqual(dragDirection(-40, 40), [-1, 1]);
  assert.deepEqual(dragDirection(2, -50), [0, -1]);
});

test('bots turn away from edges', () => {
  for (const chance of [0, 0.5, 0.99]) {
    assert.deepEqual(heading({ x: 50, y: 3950 }, { width: 2000, height: 4000 }, () => chance), { dx: 1, dy: -1 });
    assert.equal(heading({ x: 1950, y: 1950 }, { width: 2000, height: 4000 }, () => chance).dx, -1);
  }
});

const metrics = (ticks, more = {}) => ({
  players: 5,
  tick_p50_ns: 2e6,
  tick_p99_ns: 4e6,
  tick_rate_hz: 29,
  tick_rate_configured_hz: 30,
  ticks_total: ticks,
  ticks_skipped_total: 0,
  messages_in_total: 10 * ticks,
  messages_out_total: 20 * ticks,
  bytes_in_total: 100 * ticks,
  bytes_out_total: 200 * ticks,
  refused: { full: ticks, draining: 0 },
  rate_limited_total: 0,
  cpu_ns_total: 1e6 * ticks,
  resident_bytes: 5e6,
  loop_busy_ratio: 0.5,
  governor_level: 0,
  governor_level_max: 4,
  flush_interval_ms: 50,
  resumes: { hit: 2 * ticks, taken_over: ticks, second_tab: 7, miss: 8 },
  ...more,
});

test('rates are differences between two responses', () => {
  const now = sample(metrics(120), 3_000, { metrics: metrics(60), at: 1_000 });
  assert.deepEqual(
    [now.tickP50Ms, now.tickP99Ms, now.messagesIn, now.bytesOut, now.refused, now.cores],
    [2, 4, 300, 6_000, 30, 0.03],
  );
  assert.deepEqual([now.tickMs, now.governorMax], [1000 / 30, 4]);
});

test('a response without a value that the dashboard shows is refused', () => {
  const node = {
    node: 'one', state: 'serving', players: 5, uptime_seconds: 9, tick_rate_hz: 29, tick_p99_ns: 1, loop_busy_ratio: 0, governor_level: 0,
    flush_interval_ms: 50, max_visible: 128, events_per_second: 0, resident_bytes: 1, bytes_in_total: 1, bytes_out_total: 1, cpu_ns_total: 1,
  };
  const cluster = { up: 1, peers: 1, ghosts: 0, bus_bytes_in_total: 0, bus_bytes_out_total: 0 };
  const whole = metrics(60, { uptime_seconds: 9, max_visible: 128, events_per_second: 0 });
  for (const answer of [whole, { ...whole, cluster }, { ...whole, cluster, nodes: [node, node] }]) {
    assert.equal(checkedMetrics(answer), answer);
  }
  for (const [wrong, message] of [
    [null, 'players is undefined'],
    ['players', 'players is undefined'],
    [{ ...whole, players: undefined }, 'players is undefined'],
    [{ ...whole, players: '5' }, 'players is "5"'],
    [{ ...whole, players: Infinity }, 'players is null'],
    [{ ...whole, refused: null }, 'refused is null'],
    [{ ...whole, refused: { full: [] } }, 'refused.full is []'],
    [{ ...whole, resumes: {} }, 'resumes.hit is undefined'],
    [{ ...whole, cluster: {} }, 'cluster.up is undefined'],
    [{ ...whole, nodes: 2 }, 'nodes is 2'],
    [{ ...whole, nodes: [node, null] }, 'nodes.1.players is undefined'],
    [{ ...whole, nodes: [{ ...node, node: 7 }] }, 'nodes.0.node is 7'],
  ]) {
    assert.throws(() => checkedMetrics(wrong), { name: 'TypeError', message });
  }
});

test('a sample has cluster values if the server belongs to a cluster', () => {
  const cluster = (ticks) => ({ up: 1, peers: 2, ghosts: 30, bus_bytes_in_total: 40 * ticks, bus_bytes_out_total: 50 * ticks });
  const [before, after] = [60, 120].map((ticks) => metrics(ticks, { cluster: cluster(ticks) }));
  const now = sample(after, 3_000, { metrics: before, at: 1_000 });
  assert.equal(now.returned, 90);
  assert.deepEqual(now.cluster, { isUp: true, peers: 2, ghosts: 30, busIn: 1_200, busOut: 1_500 });
  assert.equal(sample(metrics(120), 3_000, { metrics: metrics(60), at: 1_000 }).cluster, undefined);
});

test('a restart of the server resets the rates', () => {
  assert.equal(sample(metrics(10), 2_000, { metrics: metrics(60), at: 1_000 }), undefined);
  const history = new History();
  for (const [ticks, at] of [[60, 1_000], [120, 2_000], [5, 3_000], [65, 4_000]]) history.add(metrics(ticks), at);
  assert.deepEqual(history.samples.map(({ at }) => at), [2_000, 4_000]);
});

test('the last ten minutes are kept', () => {
  const history = new History();
  for (let second = 0; second < 2 * SECONDS_KEPT; second += 1) history.add(metrics(60 * second), 1_000 * second);
  assert.equal(history.samples.length, SECONDS_KEPT + 1);
  assert.equal(history.latest.at, 1_000 * (2 * SECONDS_KEPT - 1));
});

test('numbers are shortened and rated', () => {
  const shortened = [0, 7, 0.123, 1_234, 45_678, 2_500_000, 3e9].map((value) => short(value));
  assert.deepEqual(shortened, ['0', '7', '0.12', '1,234', '45.7 k', '2.50 M', '3.00 G']);
  assert.deepEqual([short(999, 'B/s'), short(45_678, 'B/s')], ['999 B/s', '45.7 kB/s']);
  assert.deepEqual([1, 2, 5].map((value) => judge(value, [2, 5])), ['good', 'warn', 'bad']);
});

test('the values on an axis are round and reach the highest one', () => {
  assert.deepEqual(axis(16.67, false), [0, 5, 10, 15, 20]);
  assert.deepEqual([axis(0, true), axis(2, true), axis(61, true)], [[0, 1], [0, 1, 2], [0, 20, 40, 60, 80]]);
  for (let highest = 1e-3; highest < 1e9; highest *= 1.7) {
    const values = axis(highest, false);
    assert.ok(values.length >= 3 && values.length <= 5 && values.at(-1) >= highest * (1 - 1e-9), `${highest}: ${values}`);
  }
});

test('the values on an axis have one unit', () => {
  const texts = (highest, unit) => axisTexts(axis(highest, false), unit);
  assert.deepEqual(texts(14_200, '/s'), ['0 k/s', '5 k/s', '10 k/s', '15 k/s']);
  assert.deepEqual(texts(41_000, 'B/s'), ['0 kB/s', '20 kB/s', '40 kB/s', '60 kB/s']);
  assert.deepEqual(texts(1_900_000, ''), ['0 M', '0.5 M', '1 M', '1.5 M', '2 M']);
  assert.deepEqual(texts(7_900, '/s'), ['0 /s', '2,000 /s', '4,000 /s', '6,000 /s', '8,000 /s']);
  assert.deepEqual(texts(0.3, 'ms'), ['0 ms', '0.1 ms', '0.2 ms', '0.3 ms']);
  assert.deepEqual(texts(0.002, ''), ['0', '0.0005', '0.001', '0.0015', '0.002']);
});

test('the cursor is at the nearest sample', () => {
  const samples = [10, 20, 30].map((at) => ({ at }));
  assert.deepEqual([-5, 14, 16, 30, 99].map((at) => nearest(samples, at)), [0, 0, 1, 2, 2]);
  assert.equal(nearest([], 5), -1);
});

test('a duration has its two largest units', () => {
  const texts = [0, 59, 60, 3_599, 7_200, 273_600].map(duration);
  assert.deepEqual(texts, ['0 s', '59 s', '1 min 0 s', '59 min 59 s', '2 h 0 min', '3 d 4 h']);
});

test('the nodes of a world are added up, and no rate spans two nodes', () => {
  const node = (name, players, busy) => ({
    node: name, players, uptime_seconds: 9, bytes_in_total: 1, bytes_out_total: 10 * players, cpu_ns_total: 5, resident_bytes: 7,
    tick_rate_hz: 60 - busy, tick_p99_ns: 100 * busy, loop_busy_ratio: busy, governor_level: 0, flush_interval_ms: 50,
  });
  const of = (answering) => ({ ...metrics(60), node: answering, nodes: [node(answering, 3, 0.5), node('other', 4, 0.25)] });
  const all = allNodes(of('one'));
  assert.deepEqual([all.players, all.bytes_out_total, all.resident_bytes], [7, 70, 14]);
  assert.deepEqual([all.tick_rate_hz, all.tick_p99_ns, all.loop_busy_ratio], [59.5, 50, 0.5]);
  assert.equal(allNodes(metrics(60)), undefined);
  assert.equal(allNodes({ ...metrics(60), nodes: [node('one', 1, 0)] }), undefined);
  const before = { metrics: { ...metrics(60), node: 'one' }, at: 1_000 };
  assert.equal(sample({ ...metrics(120), node: 'two' }, 2_000, before), undefined);
  assert.ok(sample({ ...metrics(120), node: 'one' }, 2_000, before));
});
