// `make bench-page`: measures the page's frames per second with 500 players on the screen. Rendering is in software, on the same
// cores as the server and the load test.

import { test } from 'node:test';
import assert from 'node:assert/strict';

import { browse, crowd, own, shown, until } from './stage.mjs';

const PLAYERS = Number(process.env.PAGE_PLAYERS ?? 500);
const SECONDS = Number(process.env.PAGE_SECONDS ?? 10);

test(`${PLAYERS} players on one screen`, async (t) => {
  const server = await crowd(t, PLAYERS, SECONDS + 30);
  const { open, complaints } = await browse(t);
  const page = await open(server.url);
  await own(page);
  await until('all players', async () => (await shown(page)) === PLAYERS);
  const inspector = await page.context().newCDPSession(page);
  await inspector.send('Performance.enable');
  const scriptMs = async () => {
    const { metrics } = await inspector.send('Performance.getMetrics');
    return metrics.find(({ name }) => name === 'ScriptDuration').value * 1000;
  };
  const before = await scriptMs();
  const { frames, seconds } = await page.evaluate(async (seconds) => {
    const began = performance.now();
    let frames = 0;
    while (performance.now() - began < seconds * 1000) {
      await new Promise((resolve) => requestAnimationFrame(resolve));
      frames += 1;
    }
    return { frames, seconds: (performance.now() - began) / 1000 };
  }, SECONDS);
  const perFrameMs = ((await scriptMs()) - before) / frames;
  const figures = `${(frames / seconds).toFixed(1)} frames per second, ${perFrameMs.toFixed(1)} ms of script per frame`;
  console.log(`${figures}, over ${seconds.toFixed(1)} s with ${await shown(page)} other players at 1280 by 800`);
  assert.equal(await shown(page), PLAYERS);
  assert.deepEqual(complaints, []);
});
