// The dashboard of several processes that share a port.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';

import { browse, own, run, serve, temporaryFolder, until } from './stage.mjs';

test('the dashboard shows this node, or all nodes of the world', async (t) => {
  const folder = await temporaryFolder(t);
  const socket = join(folder, 'redis.sock');
  run(t, '/usr/bin/redis-server', ['--port', '0', '--unixsocket', socket, '--save', '', '--appendonly', 'no'], {}, { cwd: folder });
  const settings = {
    CLUSTER_URL: `redis+unix://${socket}`, REUSE_PORT: 'true', CLUSTER_SECRET: 'secret-of-all-servers-of-this-world',
    XDG_RUNTIME_DIR: folder,
  };
  const first = await serve(t, { ...settings, NODE_NAME: 'first' });
  await serve(t, { ...settings, NODE_NAME: 'second', PORT: String(first.port) });
  const nodes = async () => (await (await fetch(`${first.url}/metrics`)).json()).nodes ?? [];
  await until('both nodes', async () => (await nodes()).length === 2);

  const { open, complaints } = await browse(t);
  await own(await open(`${first.url}/play?bots=5`));
  const page = await open(`${first.url}/dashboard`, { viewport: { width: 390, height: 800 } });
  const figures = page.locator('#figures');
  await until('all six players', async () => /players\s+6\s/.test(await figures.innerText()));
  const table = page.locator('#nodes');
  await until('both rows', async () => /first[^]*second/.test(await table.innerText()));
  assert.ok(!/refused/.test(await figures.innerText()), 'what only one node knows is hidden');
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${overflow} px wider than the screen of a phone`);
  const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  assert.deepEqual(violations.map(({ id, nodes: [node] }) => `${id}: ${node.html}`), []);

  // The rate of the slowest node has the color of the ticks that it lacks.
  const ticks = page.locator('#figures > div', { hasText: /^ticks\/s/ }).locator('dd');
  for (const [rate, color] of [[60, 'good'], [58, 'warn'], [52, 'bad']]) {
    await page.route('**/metrics', async (route) => {
      const response = await route.fetch();
      const metrics = await response.json();
      metrics.nodes.forEach((node) => (node.tick_rate_hz = node.node === 'first' ? rate : 60));
      await route.fulfill({ response, json: metrics });
    });
    await until(`${rate} ticks per second`, async () => (await ticks.innerText()) === `${rate}.0`);
    assert.equal(await ticks.getAttribute('class'), color);
    await page.unroute('**/metrics');
  }

  await page.getByRole('button', { name: 'this node' }).click();
  await until('one node', async () => /refused/.test(await figures.innerText()) && !(await table.isVisible()));
  assert.match(await page.locator('#state').innerText(), /^up/);
  await page.getByRole('button', { name: 'all nodes' }).click();
  await until('all nodes', async () => (await table.isVisible()) && /players\s+6\s/.test(await figures.innerText()));
  assert.deepEqual(complaints, []);
});
