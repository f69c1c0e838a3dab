// How many frames a second the page draws with 500 players on the screen: `make bench-page`. Software rendering, on the same
// cores as the server and the players.

import { test } from 'node:test';
import assert from 'node:assert/strict';

import { browse, own, run, serve, until } from './stage.mjs';

const PLAYERS = Number(process.env.PAGE_PLAYERS ?? 500);
const SECONDS = Number(process.env.PAGE_SECONDS ?? 10);

test(`${PLAYERS} players on one screen`, async (t) => {
  const spawn = { SPAWN_MIN_X: '850', SPAWN_MAX_X: '1150', SPAWN_MIN_Y: '960', SPAWN_MAX_Y: '1040' };
  const server = await serve(t, { MAX_VISIBLE: String(PLAYERS + 100), ...spawn });
  // They turn so often that none gets far enough to leave the screen, and see little themselves, for it would cost the
  // same processors.
  const players = ['--clients', String(PLAYERS), '--moves-per-second', '20', '--viewport', '100x100'];
  const load = [...players, '--duration', `${SECONDS + 30}s`, '--viewers', '0'];
  run(t, 'loadtest', ['--server', `${server.url.replace('http', 'ws')}/ws`, ...load]);
  const { open, complaints } = await browse(t);
  const page = await open(server.url);
  await own(page);
  const counted = () => page.evaluate(() => globalThis.pixiGame.others().length);
  await until('everybody', async () => (await counted()) === PLAYERS);
  const { frames, seconds, shown } = await page.evaluate(async (seconds) => {
    const began = performance.now();
    let frames = 0;
    while (performance.now() - began < seconds * 1000) {
      await new Promise((resolve) => requestAnimationFrame(resolve));
      frames += 1;
    }
    return { frames, seconds: (performance.now() - began) / 1000, shown: globalThis.pixiGame.others().length };
  }, SECONDS);
  console.log(`${(frames / seconds).toFixed(1)} frames a second over ${seconds.toFixed(1)} s with ${shown} others shown, 1280 by 800`);
  assert.equal(shown, PLAYERS);
  assert.deepEqual(complaints, []);
});
