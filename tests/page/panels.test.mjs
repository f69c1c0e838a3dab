// What the pages show beside the players: hint, bots, own name, attacks; values and cursor of the dashboard.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';

import { decodeClient } from '../../web/protocol.js';
import { browse, own, serve, shown, TOGETHER, until } from './stage.mjs';

test('the hint of the keys fades after the join, and at once when the help opens', async (t) => {
  const server = await serve(t);
  const { open, complaints } = await browse(t);
  for (const [reducedMotion, duration] of [['no-preference', '1.5s'], ['reduce', '0s']]) {
    const page = await open(server.url, { reducedMotion }, (context) => context.clock.install());
    const hint = page.locator('#hint');
    await own(page);
    assert.match(await hint.innerText(), /W A S D or arrow keys: walk\s+Space or click: attack/);
    await page.clock.fastForward(4_000);
    assert.equal(await hint.getAttribute('class'), null);
    await page.clock.fastForward(4_000);
    assert.equal(await hint.getAttribute('class'), 'fading');
    assert.equal(await hint.evaluate((hint) => getComputedStyle(hint).transitionDuration), duration);
    await until('the end of the fading', () => hint.evaluate((hint) => Number(getComputedStyle(hint).opacity) === 0));
    await page.clock.fastForward(2_000);
    assert.equal(await hint.isVisible(), false);
    await page.close();
  }
  const phone = await open(server.url, { hasTouch: true, isMobile: true, viewport: { width: 390, height: 780 } });
  assert.equal((await phone.locator('#hint').innerText()).trim(), 'Drag to walk, tap to attack');
  await phone.getByRole('button', { name: 'Help' }).tap();
  assert.equal(await phone.locator('#hint').isVisible(), false);
  assert.deepEqual(complaints, []);
});

test('Escape and a click outside close the help, and the keyboard plays on', async (t) => {
  const server = await serve(t);
  const { open, complaints } = await browse(t);
  const page = await open(server.url);
  await own(page);
  const [help, button] = [page.locator('#help'), page.getByRole('button', { name: 'Help' })];
  const attacks = async () => {
    await page.keyboard.press('Space');
    await until('an attack', async () => (await own(page)).state === 'attacking');
    await until('its end', async () => (await own(page)).state === 'idle');
    assert.equal(await help.isVisible(), false, 'the space bar does not press the button');
  };
  const close = {
    Escape: () => page.keyboard.press('Escape'),
    'a click outside': () => page.locator('#scene').click({ position: { x: 640, y: 600 } }),
  };
  for (const [what, leave] of Object.entries(close)) {
    for (const opens of [() => button.click(), () => button.press('Enter')]) {
      await opens();
      await help.locator('h1').click();
      assert.ok(await help.isVisible(), 'a click inside does not close it');
      await leave();
      assert.equal(await help.isVisible(), false, what);
      assert.equal(await button.getAttribute('aria-expanded'), 'false');
      assert.equal(await page.evaluate(() => document.activeElement.id), 'help-button', what);
      await until('the end of an attack by the click', async () => (await own(page)).state === 'idle');
      await attacks();
      const { y } = await own(page);
      await page.keyboard.down(y > 1000 ? 'w' : 's');
      await until('a walk', async () => Math.abs((await own(page)).y - y) > 8);
      await page.keyboard.up(y > 1000 ? 'w' : 's');
      await until('its end', async () => (await own(page)).state === 'idle');
    }
  }
  await page.keyboard.press('Enter');
  assert.ok(await help.isVisible(), 'Enter presses the button');
  await page.keyboard.press('Escape');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Shift+Tab');
  await page.keyboard.press('Space');
  assert.ok(await help.isVisible(), 'the space bar presses a button that the visitor has chosen');
  assert.deepEqual(complaints, []);
});

/** Returns the texts that the next frame draws on the scene, in order. Names are canvases with their text. */
const namesDrawn = (page) =>
  page.evaluate(async () => {
    const { drawImage, fillText } = CanvasRenderingContext2D.prototype;
    const names = [];
    CanvasRenderingContext2D.prototype.drawImage = function (picture, ...where) {
      if (picture.nameOfPlayer) names.push(picture.nameOfPlayer);
      return drawImage.call(this, picture, ...where);
    };
    CanvasRenderingContext2D.prototype.fillText = function (text, ...where) {
      this.canvas.nameOfPlayer = text;
      return fillText.call(this, text, ...where);
    };
    // Another size makes the scene draw all names again.
    const scene = document.getElementById('scene');
    scene.style.width = `${scene.clientWidth * 2}px`;
    for (let n = 0; n < 5; n += 1) await new Promise((resolve) => requestAnimationFrame(resolve));
    names.length = 0;
    await new Promise((resolve) => requestAnimationFrame(resolve));
    Object.assign(CanvasRenderingContext2D.prototype, { drawImage, fillText });
    return names;
  });

test('a button adds 50 bots, and the own name is drawn over all others', async (t) => {
  // The whole world is in view from its middle, where all players begin, so no bot walks out of view.
  const server = await serve(t, {
    WORLD_WIDTH: '200', WORLD_HEIGHT: '200', SPAWN_MIN_X: '100', SPAWN_MAX_X: '101', SPAWN_MIN_Y: '100', SPAWN_MAX_Y: '101',
  });
  const { open, complaints } = await browse(t);
  const page = await open(server.url);
  const { id } = await own(page);
  const bots = page.locator('#bots');
  assert.equal(await bots.isVisible(), false);
  const button = page.getByRole('button', { name: 'Add 50 bots' });
  await button.click();
  await page.keyboard.press('Space');
  await until('an attack: the space bar does not press the button again', async () => (await own(page)).state === 'attacking');
  await until('50 bots', async () => (await bots.innerText()) === '50' && (await shown(page)) === 50);
  const names = await namesDrawn(page);
  assert.equal(names.length, 51);
  assert.equal(names.at(-1), `You (${id})`);
  const { players } = await (await fetch(`${server.url}/health`)).json();
  assert.equal(players, 51);
  await page.close();
  // The bots of the address count toward the same limit. They are spread, and see one player each.
  const wide = await serve(t, { MAX_VISIBLE: '1' });
  const full = await open(`${wide.url}/play?bots=200`);
  await until('a disabled button', () => full.getByRole('button', { name: 'Add 50 bots' }).isDisabled());
  assert.deepEqual(complaints, []);
});

test('a bot sends the smallest viewport first, so that it receives few messages', async (t) => {
  const server = await serve(t);
  const { open, complaints } = await browse(t);
  const firsts = [];
  const keep = ({ payload }) => firsts.push(decodeClient(payload));
  await open(`${server.url}/play?bots=10`, {}, (context) =>
    context.on('page', (page) => page.on('websocket', (socket) => socket.once('framesent', keep))),
  );
  await until('the first messages of the bots and the page', () => firsts.length === 11);
  const smallest = { type: 'viewport', width: 100, height: 100 };
  assert.equal(firsts.filter((message) => isDeepStrictEqual(message, smallest)).length, 10, JSON.stringify(firsts));
  assert.deepEqual(complaints, []);
});

/** Returns the largest number of pixels in the color of an attack's effect over some frames. */
const brightest = (page, frames) =>
  page.evaluate(async (frames) => {
    const scene = document.getElementById('scene');
    const context = scene.getContext('2d');
    let most = 0;
    for (let n = 0; n < frames; n += 1) {
      await new Promise((resolve) => requestAnimationFrame(resolve));
      const { data } = context.getImageData(0, 0, scene.width, scene.height);
      let count = 0;
      for (let at = 0; at < data.length; at += 4) {
        const [red, green, blue] = [data[at], data[at + 1], data[at + 2]];
        if (red >= 150 && red > green && green > blue && red - blue < 60 && red - blue > 15) count += 1;
      }
      most = Math.max(most, count);
    }
    return most;
  }, frames);

test('an attack is visible to the attacker and to others, also with reduced motion', async (t) => {
  const server = await serve(t, { ...TOGETHER, ATTACK_DURATION_MS: '1500' });
  const { open, complaints } = await browse(t);
  const small = { viewport: { width: 400, height: 300 } };
  const anna = await open(server.url, small);
  const { id } = await own(anna);
  const before = await brightest(anna, 3);
  const here = brightest(anna, 20);
  await anna.keyboard.press('Space');
  assert.ok((await here) > before + 60, `${await here} pixels, ${before} before`);

  const bert = await open(server.url, { ...small, reducedMotion: 'reduce' });
  const sees = ([id, state]) => globalThis.pixiGame?.others().some((player) => player.id === id && player.state === state);
  await bert.waitForFunction(sees, [id, 'idle']);
  const still = await brightest(bert, 3);
  await anna.keyboard.press('Space');
  await bert.waitForFunction(sees, [id, 'attacking']);
  const there = await brightest(bert, 3);
  assert.ok(there > still + 60, `${there} pixels, ${still} before`);
  assert.deepEqual(complaints, []);
});

test('the dashboard has values on its axes and at the cursor, the version and the uptime', async (t) => {
  const server = await serve(t);
  const { open, complaints } = await browse(t);
  const page = await open(`${server.url}/dashboard`, { hasTouch: true }, (context) =>
    context.addInitScript(() => {
      const { fillText } = CanvasRenderingContext2D.prototype;
      globalThis.drawnTexts = new Map();
      CanvasRenderingContext2D.prototype.fillText = function (text, ...where) {
        const texts = globalThis.drawnTexts;
        texts.set(this.canvas, [...(texts.get(this.canvas) ?? []).slice(-20), text]);
        return fillText.call(this, text, ...where);
      };
    }),
  );
  const figures = page.locator('#figures');
  await until('a sample without players', async () => /players\s+0\s/.test(await figures.innerText()));
  const { build_info: build } = await (await fetch(`${server.url}/metrics`)).json();
  assert.match(await figures.innerText(), /uptime\s+\d+ s\s/);
  assert.ok((await figures.innerText()).includes(`version\n${build.version}`), await figures.innerText());

  const player = await open(server.url);
  await own(player);
  await until('a sample with a player', async () => /players\s+1\s/.test(await figures.innerText()));
  await page.bringToFront();
  const chart = page.getByRole('slider', { name: /^Players:/ });
  const legend = page.locator('section', { hasText: /^Players/ }).locator('span');
  const value = () => chart.getAttribute('aria-valuetext');
  const texts = (slider) => slider.evaluate((canvas) => globalThis.drawnTexts.get(canvas));
  assert.equal(await legend.innerText(), 'players 1');
  assert.deepEqual((await texts(chart)).slice(-4, -2), ['0', '1'], 'whole players on the axis');
  const ticks = await texts(page.getByRole('slider', { name: /^Tick duration:/ }));
  assert.ok(new Set(ticks.filter((text) => /^[\d.]+ ms$/.test(text))).size >= 4, JSON.stringify(ticks));

  await chart.focus();
  await page.keyboard.press('Home');
  assert.match(await value(), /^\d+ s ago: players 0$/);
  assert.equal(await legend.innerText(), 'players 0');
  assert.match((await texts(chart)).at(-1), /^\d+ s ago$/);
  await page.keyboard.press('End');
  await page.keyboard.press('ArrowLeft');
  await page.keyboard.press('ArrowRight');
  assert.equal(await legend.innerText(), 'players 1');
  await page.keyboard.press('Home');
  await page.keyboard.press('Escape');
  assert.equal(await legend.innerText(), 'players 1');

  const { x, y, width, height } = await chart.boundingBox();
  const [left, right, middle] = [x + width / 3, x + width - 5, y + height / 2];
  await page.mouse.move(left, middle);
  assert.equal(await legend.innerText(), 'players 0');
  await page.mouse.move(right, middle);
  assert.equal(await legend.innerText(), 'players 1');
  await page.mouse.move(left, middle);
  await page.mouse.move(x + width / 2, y - 40);
  assert.equal(await legend.innerText(), 'players 1', 'no cursor without the mouse');
  await page.touchscreen.tap(left, middle);
  assert.equal(await legend.innerText(), 'players 0');
  assert.deepEqual(complaints, []);
});

test('no uptime wraps or moves what is below it', async (t) => {
  const server = await serve(t);
  const { open, complaints } = await browse(t);
  const uptimes = new Map([['5 s', 5], ['59 min 59 s', 3_599], ['23 h 59 min', 86_399], ['3650 d 23 h', 315_442_800]]);
  let uptime;
  const answer = async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: { ...(await response.json()), uptime_seconds: uptime } });
  };
  const page = await open(`${server.url}/dashboard`, {}, (context) => context.route('**/metrics', answer));
  const value = page.locator('#figures > div', { hasText: /^uptime/ }).locator('dd');
  const tops = new Map();
  for (const [text, seconds] of uptimes) {
    uptime = seconds;
    await until(text, async () => (await value.innerText()) === text);
    for (const width of [320, 390, 1280, 1440, 1920]) {
      await page.setViewportSize({ width, height: 800 });
      assert.equal(await value.evaluate((dd) => dd.scrollWidth - dd.clientWidth), 0, `${width}: ${text} is cut`);
      const { y } = await page.locator('#charts').boundingBox();
      assert.equal(y, tops.get(width) ?? y, `${width}: ${text} moves the charts`);
      tops.set(width, y);
    }
  }
  assert.deepEqual(complaints, []);
});

test('the dashboard says that it does not understand a response, keeps its figures, and asks on', async (t) => {
  const server = await serve(t);
  const { open, complaints } = await browse(t);
  let change = (metrics) => metrics;
  const page = await open(`${server.url}/dashboard`, {}, (context) =>
    context.route('**/metrics', async (route) => {
      const response = await route.fetch();
      const changed = change(await response.json());
      await (typeof changed === 'string' ? route.fulfill({ body: changed }) : route.fulfill({ json: changed }));
    }),
  );
  const [figures, state] = [page.locator('#figures'), page.locator('#state')];
  const isKnown = async () => /players\s+7\s/.test(await figures.innerText());
  for (const [wrong, message] of [
    [({ players, ...others }) => others, 'response not understood (players is undefined)'],
    [(metrics) => ({ ...metrics, players: '5' }), 'response not understood (players is "5")'],
    [() => '{', 'response not understood ('],
  ]) {
    change = (metrics) => ({ ...metrics, players: 7 });
    await until('the figures', async () => (await isKnown()) && (await state.innerText()) === 'up');
    let odd = 0;
    change = (metrics) => {
      odd += 1;
      return wrong(metrics);
    };
    await until('three odd responses', () => odd >= 3);
    await until('the state', async () => (await state.innerText()).startsWith(message));
    assert.equal(await state.getAttribute('class'), 'bad');
    assert.ok(await isKnown(), await figures.innerText());
  }
  assert.deepEqual(complaints, []);
});
