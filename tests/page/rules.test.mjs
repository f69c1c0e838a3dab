// The game page obeys the rules of its server: size of the world, speed, duration of attacks, bots of an account.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';

import { decodeClient, decodeServer } from '../../web/protocol.js';
import { askRules, DEFAULT_RULES } from '../../web/rules.js';
import { browse, own, serve, serveAccounts, shown, takeOver, temporaryFolder, TOGETHER, until } from './stage.mjs';

/** The lower right part of a wide world. */
const FAR = {
  WORLD_WIDTH: '4000', WORLD_HEIGHT: '3000', ATTACK_DURATION_MS: '400',
  SPAWN_MIN_X: '3700', SPAWN_MAX_X: '3701', SPAWN_MIN_Y: '2600', SPAWN_MAX_Y: '2601',
};

/** Walks until one without corrections. */
const WALKS_MAX = 4;

/** Collects the MOVEs that the pages of a context send, and their acks. */
function listen(context) {
  const said = { moves: [], acks: [] };
  const keep = (into, decode, type) => ({ payload }) => {
    const message = decode(payload);
    if (message.type === type) into.push(message);
  };
  context.on('page', (page) =>
    page.on('websocket', (socket) => {
      socket.on('framesent', keep(said.moves, decodeClient, 'move'));
      socket.on('framereceived', keep(said.acks, decodeServer, 'ack'));
    }),
  );
  return said;
}

/** Lets a new page walk to the corner. Returns its MOVEs and their acks. */
async function walkToCorner(server, open) {
  let said;
  const page = await open(server.url, {}, (context) => (said = listen(context)));
  await own(page);
  await page.keyboard.down('d');
  await page.keyboard.down('s');
  await until('the corner', async () => {
    const { x, y } = await own(page);
    return x === 4000 && y === 3000;
  });
  await page.keyboard.up('d');
  await page.keyboard.up('s');
  const isAnswered = ({ moves, acks }) => moves.length > 0 && moves.at(-1).dx === 0 && acks.length === moves.length;
  await until('the acks', () => isAnswered(said));
  const corrections = await page.evaluate(() => globalThis.pixiGame.corrections());
  await page.close();
  return { ...said, corrections };
}

for (const speed of ['8', '5.333']) {
  test(`at PLAYER_SPEED=${speed} a page walks to the corner of a wide world, and the server agrees with each step`, async (t) => {
    const server = await serve(t, { ...FAR, PLAYER_SPEED: speed });
    const { open, complaints } = await browse(t);
    const places = (messages) => messages.map(({ sequence, x, y }) => [sequence, x, y]);
    let said;
    // The server rightly corrects a browser that a busy machine holds up for 180 ms, but not in each of several walks.
    for (let walks = 0; walks < WALKS_MAX; walks += 1) {
      said = await walkToCorner(server, open);
      if (said.corrections === 0 && isDeepStrictEqual(places(said.acks), places(said.moves))) break;
    }
    assert.deepEqual(places(said.acks), places(said.moves));
    assert.equal(said.corrections, 0);
    // Keys are pressed one after the other, so each axis has its own number of steps.
    for (const [axis, part, from, side] of [['x', 'dx', 3700, 4000], ['y', 'dy', 2600, 3000]]) {
      let exact = from;
      for (const move of said.moves) {
        exact = Math.min(exact + move[part] * Number(speed), side);
        assert.ok(Math.abs(move[axis] - exact) <= 0.5 + 1e-6, `${axis}: ${move[axis]} claimed, ${exact} walked`);
      }
    }
    assert.deepEqual(complaints, []);
  });
}

test('the page has the rules of the server, and the defaults of both are the same', async (t) => {
  const [usual, other] = [await serve(t), await serve(t, { ...FAR, PLAYER_SPEED: '50' })];
  const rulesOf = (server) => askRules((path, options) => fetch(`${server.url}/${path}`, options));
  assert.deepEqual(await rulesOf(usual), DEFAULT_RULES);
  const { open, complaints } = await browse(t);
  for (const server of [usual, other]) {
    const page = await open(server.url);
    const expected = await rulesOf(server);
    await until('the rules', async () => {
      const rules = await page.evaluate(() => globalThis.pixiGame?.rules());
      return rules?.width === expected.width && rules.stepUnits === expected.stepUnits;
    });
    assert.deepEqual(await page.evaluate(() => globalThis.pixiGame.rules()), expected);
    assert.equal(await page.locator('#rules').isVisible(), false);
    await page.close();
  }
  assert.deepEqual(complaints, []);
});

test('a page that can not read the rules says so and assumes the defaults, until it can', async (t) => {
  const server = await serve(t, { WORLD_WIDTH: '4000' });
  const { open } = await browse(t);
  let isBlocked = true;
  const page = await open(server.url, {}, async (context) => {
    await context.clock.install();
    await context.route('**/rules.json', (route) => (isBlocked ? route.fulfill({ status: 404 }) : route.continue()));
  });
  const before = await own(page);
  const notice = page.locator('#rules');
  await until('the notice', () => notice.isVisible());
  const expected = /can't be read \(status 404\).*2,000 by 2,000 units, and steps of 4 units/;
  assert.match(await notice.innerText(), expected);
  assert.equal(await notice.getAttribute('role'), 'status');
  await page.keyboard.down('s');
  await until('the player to walk', async () => (await own(page)).y > before.y + 20);
  await page.keyboard.up('s');
  isBlocked = false;
  await page.clock.fastForward(5_000);
  await until('the rules', async () => !(await notice.isVisible()));
  assert.equal((await page.evaluate(() => globalThis.pixiGame.rules())).width, 4000);
});

test('a page obeys the rules of a takeover soon after the first correction', async (t) => {
  const settings = { ...TOGETHER, CONTROL_SOCKET: join(await temporaryFolder(t), 'control.sock') };
  const first = await serve(t, settings);
  const { open, complaints } = await browse(t);
  const page = await open(first.url);
  const { id } = await own(page);
  const speed = async () => (await page.evaluate(() => globalThis.pixiGame.rules())).stepUnits;
  assert.equal(await speed(), 4);
  takeOver(t, first.port, { ...settings, PLAYER_SPEED: '2' });
  await until('the old process to end', () => first.process.exitCode === 0);
  await page.keyboard.down('d');
  // The ordinary request is due 30 s after the join.
  await until('the new rules', async () => (await speed()) === 2);
  assert.equal((await own(page)).id, id, 'the same connection');
  assert.deepEqual(complaints, []);
});

test('a page has as many bots as its account may have beside it', async (t) => {
  const { open, complaints } = await browse(t);
  for (const [connections, text] of [[1, 'one connection per account, so no bots'], [3, '3 connections per account, so at most 2 bots']]) {
    const { server, cookie } = await serveAccounts(t, { AUTH_SESSIONS_PER_SUB: String(connections) });
    const page = await open(`${server.url}/play?bots=50`, {}, (context) => context.addCookies([cookie]));
    const { id } = await own(page);
    await page.getByRole('button', { name: 'Help' }).click();
    await until('the limit in the help', async () => (await page.locator('#help').innerText()).includes(text));
    assert.equal(await page.getByRole('link', { name: '?bots=50' }).count(), 0);
    const button = page.getByRole('button', { name: /Add \d+ bots?/ });
    assert.equal(await button.count(), connections === 1 ? 0 : 1);
    await until('the bots', async () => (await shown(page)) === connections - 1);
    if (connections > 1) {
      assert.equal(await button.innerText(), 'Add 2 bots');
      await until('no room for more', () => button.isDisabled());
    }
    // Another bot would connect within 50 ms.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const { closed, players } = await (await fetch(`${server.url}/metrics`)).json();
    assert.deepEqual([closed.same_account, players, (await own(page)).id], [0, connections, id]);
  }
  assert.deepEqual(complaints, []);
});
