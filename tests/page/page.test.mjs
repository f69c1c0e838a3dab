// Tests of the pages in a real browser, with a real server.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';

import {
  browse, crowd, other, own, run, serve, serveAccounts, shown, strip, takeOver, temporaryFolder, TOGETHER, until,
} from './stage.mjs';

/** A drawn position rounded to whole units, which removes the rest of a fading correction. */
const whole = ({ x, y, facing }) => [Math.round(x), Math.round(y), facing];

const apart = (a, b) => Math.max(Math.abs(a.x - b.x), Math.abs(a.y - b.y));

/** Speed of a player along an axis, in units per millisecond. */
const SPEED = 0.096;

test('two players see each other walk, turn, attack and leave', async (t) => {
  const server = await serve(t, TOGETHER);
  const { open, complaints } = await browse(t);
  const [anna, bert] = [await open(server.url), await open(`${server.url}/play`)];
  const { id } = await own(anna);
  await own(bert);
  await until('Anna on the page of Bert', () => other(bert, id));

  await anna.bringToFront();
  await anna.keyboard.down('d');
  await until('Anna to walk', async () => (await other(bert, id)).state === 'moving');
  // Compares the own player on one page with the same player on the other; the two can't be queried at the same time. A busy
  // machine may delay a message, and the next snapshot corrects that.
  let matches = 0;
  await until('ten consecutive samples with at most 8 units between the two pages', async () => {
    const [here, there] = await Promise.all([own(anna), other(bert, id)]);
    assert.ok(here.x < 1900, 'the pages agree before the player reaches the edge of the world');
    there.x += (here.at - there.at) * SPEED;
    matches = apart(here, there) <= 8 ? matches + 1 : 0;
    return matches === 10;
  });
  await anna.keyboard.up('d');
  await until('the same position on both pages', async () => apart(await own(anna), await other(bert, id)) < 0.5);
  assert.equal((await other(bert, id)).facing, 'right');

  await anna.mouse.move(100, 400);
  await until('Anna to face left', async () => (await other(bert, id)).facing === 'left');
  await anna.keyboard.press('Space');
  await until('Anna to attack', async () => (await other(bert, id)).state === 'attacking');
  await until('Anna to be idle again', async () => (await other(bert, id)).state === 'idle');
  assert.equal(await anna.evaluate(() => globalThis.pixiGame.corrections()), 0, 'the server corrects no step');

  await anna.close();
  await until('Anna to leave', async () => !(await other(bert, id)));
  assert.deepEqual(complaints, []);
});

test('with the cookie of a login the unmodified page joins, and without it is refused', async (t) => {
  const { server, cookie } = await serveAccounts(t);
  const metrics = () => fetch(`${server.url}/metrics`).then((response) => response.json());
  const { open, complaints } = await browse(t);

  const stranger = await open(server.url);
  await until('two refused attempts', async () => (await metrics()).refused.auth_missing >= 2);
  assert.equal(await stranger.evaluate(() => globalThis.pixiGame.own()), undefined);
  assert.ok(complaints.every((text) => text.includes('Authentication failed')), complaints.join());
  await stranger.context().close();
  complaints.length = 0;

  const page = await open(server.url, {}, (context) => context.addCookies([cookie]));
  await own(page);
  assert.equal((await metrics()).players, 1);

  // A second tab of the account closes the first one, which does not fight back.
  const tab = await page.context().newPage();
  await tab.goto(server.url);
  await own(tab);
  await until('the first tab to be closed', async () => (await metrics()).closed.same_account === 1);
  await until('the reason on the first tab', () => page.getByText('joined in another window').count());
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  const { closed, players } = await metrics();
  assert.deepEqual([closed.same_account, players], [1, 1]);
  assert.deepEqual(complaints, []);
});

test('bots join and move', async (t) => {
  const server = await serve(t, TOGETHER);
  const { open, complaints } = await browse(t);
  const page = await open(`${server.url}/play?bots=15`);
  await until('15 bots', async () => (await shown(page)) === 15);
  await until('a walking bot', () => page.evaluate(() => globalThis.pixiGame.others().some(({ state }) => state === 'moving')));
  assert.deepEqual(complaints, []);
});

test('all five hundred players are drawn', async (t) => {
  const server = await crowd(t, 500, 60);
  const { open, complaints } = await browse(t);
  const page = await open(server.url);
  await until('all players', async () => (await shown(page)) === 500);
  const drawn = await page.evaluate(async () => {
    const { drawImage } = CanvasRenderingContext2D.prototype;
    let characters = 0;
    CanvasRenderingContext2D.prototype.drawImage = function (picture, ...where) {
      if (picture instanceof ImageBitmap) characters += 1;
      return drawImage.call(this, picture, ...where);
    };
    await new Promise((resolve) => requestAnimationFrame(resolve));
    characters = 0;
    await new Promise((resolve) => requestAnimationFrame(resolve));
    return characters;
  });
  assert.equal(drawn, 501);
  assert.deepEqual(complaints, []);
});

test('the page reconnects after a restart of the server', async (t) => {
  const first = await serve(t);
  const { open } = await browse(t);
  const page = await open(first.url);
  await own(page);
  await first.end();
  const notice = page.locator('#notice');
  await until('the reason in the notice', async () => /restarting|does not respond/.test(await notice.innerText()));
  await serve(t, { PORT: String(first.port) });
  await until('the notice to disappear', async () => !(await notice.isVisible()));
  const { id } = await own(page);
  assert.ok(id >= 1001);
  await page.keyboard.down('ArrowDown');
  await until('the player to walk', async () => (await own(page)).state === 'moving');
});

test('a kicked player sees the reason, and the page reconnects only by its button', async (t) => {
  const socket = join(await temporaryFolder(t), 'control.sock');
  const server = await serve(t, { ...TOGETHER, CONTROL_SOCKET: socket });
  const { open, complaints } = await browse(t);
  const page = await open(server.url);
  const { id } = await own(page);
  const kick = run(t, 'pixi-game-server', ['ctl', '--socket', socket, 'kick', String(id), '--reason', 'no bots, please'], {});
  await until('the kick', () => kick.exitCode === 0);
  const notice = page.locator('#notice-text');
  await until('the reason', async () => (await notice.innerText()) === 'The server closed the connection: no bots, please.');
  // The backoff of a first attempt is at most half a second.
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  assert.equal(await notice.innerText(), 'The server closed the connection: no bots, please.');
  assert.equal((await (await fetch(`${server.url}/health`)).json()).players, 0);
  await page.getByRole('button', { name: 'Try now' }).click();
  await until('another player', async () => (await own(page)).id > id);
  assert.equal(await notice.isVisible(), false);
  assert.deepEqual(complaints, []);
});

test('a page plays on through three takeovers without reconnecting', async (t) => {
  const settings = { ...TOGETHER, CONTROL_SOCKET: join(await temporaryFolder(t), 'control.sock') };
  const first = await serve(t, settings);
  const { open, complaints } = await browse(t);
  const page = await open(first.url);
  const witness = await open(first.url);
  const { id } = await own(page);
  let last = first.process;
  for (const key of ['ArrowDown', 'ArrowRight', 'ArrowDown']) {
    const before = await own(page);
    await page.keyboard.down(key);
    const next = takeOver(t, first.port, settings);
    await until('the old process to end', () => last.exitCode === 0);
    last = next;
    await until('a walk', async () => apart(await own(page), before) > 60);
    await page.keyboard.up(key);
    const agree = async () => {
      const [here, there] = [await own(page), await other(witness, id)];
      return here.state === 'idle' && there && apart(here, there) < 0.5;
    };
    await until('the same picture on both pages', agree);
  }
  assert.equal((await own(page)).id, id, 'the same player');
  assert.deepEqual(complaints, []);
});

test('a player keeps its position after a reload of the page and a restart of the server', async (t) => {
  const settings = { ...TOGETHER, STATE_DIR: await temporaryFolder(t) };
  const first = await serve(t, settings);
  const { open, complaints } = await browse(t);
  const page = await open(first.url);
  const { id, x } = await own(page);
  const url = page.url();
  await page.keyboard.down('d');
  await until('a walk of 200 units', async () => (await own(page)).x > x + 200);
  await page.keyboard.up('d');
  // When another page shows the stop, the server has received it.
  const witness = await open(first.url);
  const hasStopped = async () => {
    const [here, there] = [await own(page), await other(witness, id)];
    return there && here.state === 'idle' && apart(here, there) < 0.5;
  };
  await until('the stop on another page', hasStopped);
  await witness.close();
  const saved = await own(page);

  await page.reload();
  const reloaded = await own(page);
  assert.ok(reloaded.id > id, 'a new player');
  assert.deepEqual(whole(reloaded), whole(saved));
  assert.equal(reloaded.facing, 'right');
  assert.deepEqual(complaints, []);

  // A session reconnects at most once per second, so the page must not reconnect before it is loaded again.
  const reconnected = Date.now();
  await page.goto('about:blank');
  await first.end();
  await serve(t, { ...settings, PORT: String(first.port) });
  await until('a second after the reconnect', async () => Date.now() - reconnected > 1_100);
  await page.goto(url);
  const restarted = await own(page);
  assert.deepEqual(whole(restarted), whole(saved));
});

test('a refused player sees the reason and is admitted later', async (t) => {
  const server = await serve(t, { MAX_CONNECTIONS: '1' });
  const { open } = await browse(t);
  const first = await open(server.url);
  await own(first);
  const second = await open(server.url);
  const notice = second.locator('#notice');
  await until('the reason', async () => /The server is full.*Trying again in \d+ s/s.test(await notice.innerText()));
  await first.close();
  await second.locator('#retry').click().catch(() => undefined);
  await own(second);
  await until('the notice to disappear', async () => !(await notice.isVisible()));
});

test('touch input walks and attacks', async (t) => {
  const server = await serve(t, TOGETHER);
  const { open, complaints } = await browse(t);
  const page = await open(server.url, { hasTouch: true, isMobile: true, viewport: { width: 390, height: 780 } });
  const before = await own(page);
  const touch = (type, x, y) =>
    page.evaluate(
      ([type, x, y]) =>
        document
          .getElementById('scene')
          .dispatchEvent(new PointerEvent(type, { pointerId: 7, pointerType: 'touch', clientX: x, clientY: y, bubbles: true })),
      [type, x, y],
    );
  // The browser has no such pointer, so capturing it would throw.
  await page.evaluate(() => (HTMLElement.prototype.setPointerCapture = () => undefined));
  await touch('pointerdown', 100, 500);
  await touch('pointermove', 100, 560);
  await until('the player to walk', async () => (await own(page)).y > before.y + 8);
  await touch('pointerup', 100, 560);
  await until('the player to stop', async () => (await own(page)).state === 'idle');
  await page.touchscreen.tap(300, 300);
  await until('the player to attack', async () => (await own(page)).state === 'attacking');
  assert.deepEqual(complaints, []);
});

/** Returns all texts that a page has shown in this element, in order. */
async function figures(page, id) {
  return page.evaluate((id) => globalThis.shownFigures[id], id);
}

/** Records all texts of these elements, from before the page's scripts run. */
async function keepFigures(context) {
  await context.addInitScript(() => {
    globalThis.shownFigures = { shown: [], players: [] };
    new MutationObserver(() => {
      for (const [id, texts] of Object.entries(globalThis.shownFigures)) {
        const text = document.getElementById(id)?.textContent;
        if (text !== undefined && text !== texts.at(-1)) texts.push(text);
      }
    }).observe(document, { childList: true, subtree: true, characterData: true });
  });
}

test('the numbers of players in view and on the server are correct from the first one', async (t) => {
  const server = await serve(t, { ...TOGETHER, MAX_VISIBLE: '3', ADMIN_ADDR: '127.0.0.1:0' });
  const behaviour = ['--clients', '5', '--profile', 'idle', '--duration', '300s', '--viewers', '0'];
  const load = run(t, 'loadtest', ['--server', `${server.url.replace('http', 'ws')}/ws`, ...behaviour]);
  const population = async () => (await (await fetch(`${server.url}/health`)).json()).players;
  await until('five players', async () => (await population()) === 5);

  const { open, complaints } = await browse(t);
  const page = await open(server.url, {}, keepFigures);
  await until('the number of players', async () => (await figures(page, 'players')).length > 1);
  await until('three other players', async () => (await shown(page)) === 3);
  assert.deepEqual(await figures(page, 'players'), ['-', '6']);
  const inView = await figures(page, 'shown');
  assert.equal(inView[0], '-');
  assert.equal(inView.at(-1), '4');

  const other = await open(server.url, {}, keepFigures);
  await until('the first page to count the second player', async () => (await figures(page, 'players')).at(-1) === '7');
  await until('the second page to count the players', async () => (await figures(other, 'players')).length > 1);
  assert.deepEqual(await figures(other, 'players'), ['-', '7']);
  await other.close();
  await until('the second player to leave', async () => (await figures(page, 'players')).at(-1) === '6');
  await load.end();
  await until('one player on the server', async () => (await figures(page, 'players')).at(-1) === '1');
  await until('one player in view', async () => (await figures(page, 'shown')).at(-1) === '1');
  assert.deepEqual(complaints, []);
});

test('bots of the page are counted as soon as they have connected', async (t) => {
  const server = await serve(t, { ...TOGETHER, MAX_VISIBLE: '3' });
  const { open, complaints } = await browse(t);
  // /health always returns the response from before the bots joined.
  const page = await open(`${server.url}/play?bots=8`, {}, (context) =>
    context.route('**/health', (route) => route.fulfill({ json: { status: 'healthy', players: 1 } })),
  );
  await until('nine players', async () => (await page.locator('#players').innerText()) === '9');
  assert.deepEqual(complaints, []);
});

/** Screen sizes of phones, a tablet and a desktop, in CSS pixels. */
const SCREENS = [
  [320, 568],
  [360, 640],
  [640, 360],
  [768, 1024],
  [1280, 800],
];

/** Width and height of the minimap in the lower right corner. It is drawn on the scene's canvas. */
const MINIMAP_PX = 160;

test('panels do not overlap or leave the screen, at any screen size', async (t) => {
  const server = await serve(t);
  const { open } = await browse(t);
  for (const [width, height] of SCREENS) {
    const what = `${width} by ${height}`;
    const page = await open(server.url, { viewport: { width, height }, hasTouch: true, isMobile: width < 1280 });
    await own(page);
    // Measures with the widest figures; the page overwrites them in its next frame.
    const boxes = (ids) =>
      page.evaluate((ids) => {
        for (const figure of document.querySelectorAll('dd')) figure.textContent = '12000';
        const box = (id) => document.querySelector(id).getBoundingClientRect().toJSON();
        return ids.map((id) => ({ id, ...box(id) }));
      }, ids);
    const judge = async (boxes, situation) => {
      for (const box of boxes) {
        const isWhole = box.width > 0 && box.height > 0;
        const isInside = box.left >= 0 && box.top >= 0 && box.right <= width && box.bottom <= height;
        assert.ok(isWhole && isInside, `${what}, ${situation}: ${JSON.stringify(box)}`);
      }
      for (const [n, a] of boxes.entries()) {
        for (const b of boxes.slice(n + 1)) {
          const isApart = a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
          assert.ok(isApart, `${what}, ${situation}: ${a.id} and ${b.id}: ${JSON.stringify([a, b])}`);
        }
      }
    };
    const minimap = { id: 'minimap', left: width - MINIMAP_PX, top: height - MINIMAP_PX, right: width, bottom: height };
    const map = { ...minimap, width: MINIMAP_PX, height: MINIMAP_PX };
    await judge([...(await boxes(['#figures', 'nav'])), map], 'playing');
    await page.locator('#help-button').click();
    await judge([...(await boxes(['#figures', 'nav', '#help'])), map], 'with help');
    const help = page.locator('#help');
    assert.equal(await help.evaluate((help) => help.scrollHeight - help.clientHeight), 0, `${what}: the help needs no scrolling`);

    // About as long as the longest reason of a notice.
    await page.evaluate(() => {
      document.getElementById('notice').hidden = document.getElementById('retry').hidden = false;
      document.getElementById('notice-text').textContent =
        'The server closed the connection: too many messages sent. Trying again in 10 s.';
    });
    await judge(await boxes(['#figures', 'nav', '#help', '#notice']), 'with help and a notice');
    await page.locator('#help-button').click();
    await judge(await boxes(['#figures', 'nav', '#notice']), 'with a notice');
    await page.close();

    const dashboard = await open(`${server.url}/dashboard`, { viewport: { width, height } });
    await until('six charts', async () => (await dashboard.locator('canvas[aria-label]').count()) === 6);
    const overflow = await dashboard.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `${what}: the dashboard is ${overflow} px too wide`);
    const cards = await dashboard.evaluate(() =>
      [...document.querySelectorAll('h1, #state, #figures > div, #charts > section, footer')].map((card) => {
        const { left, right, top, bottom } = card.getBoundingClientRect();
        return { id: card.textContent, left, right, top, bottom, isCut: card.scrollWidth > card.clientWidth };
      }),
    );
    assert.ok(cards.length > 15);
    for (const [n, a] of cards.entries()) {
      assert.ok(a.left >= 0 && a.right <= width && !a.isCut, `${what}: ${JSON.stringify(a)}`);
      for (const b of cards.slice(n + 1)) {
        const isApart = a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
        assert.ok(isApart, `${what}: ${a.id} and ${b.id}`);
      }
    }
    await dashboard.close();
  }
});

test('the dashboard shows the metrics of the server', async (t) => {
  const server = await serve(t);
  const { open, complaints } = await browse(t);
  await own(await open(`${server.url}/play?bots=5`));
  for (const colorScheme of ['light', 'dark']) {
    const page = await open(`${server.url}/dashboard`, { colorScheme, viewport: { width: 390, height: 800 } });
    const figures = page.locator('#figures');
    await until('six players', async () => /players\s+6\s/.test(await figures.innerText()));
    await until('six charts', async () => (await page.locator('canvas[aria-label]').count()) === 6);
    assert.match(await page.locator('canvas').first().getAttribute('aria-label'), /^Tick duration: p99 [\d.]+ ms, p50 [\d.]+ ms$/);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `${overflow} px wider than the screen of a phone`);
  }
  assert.deepEqual(complaints, []);
});

test('the pages work below a path that a proxy strips', async (t) => {
  const server = await serve(t, TOGETHER);
  const { open, complaints } = await browse(t);
  const proxy = await strip(t, server, '/game');
  for (const path of ['/game/', '/game/play/?bots=2', '/game/index.html']) {
    const page = await open(`${proxy}${path}`);
    await own(page);
    await until('the number of players', async () => /^\d+$/.test(await page.locator('#players').innerText()));
    await page.getByRole('button', { name: 'Help' }).click();
    await page.getByRole('link', { name: '?bots=50' }).click();
    await until('a bot', async () => (await shown(page)) > 0);
    assert.equal(page.url(), `${proxy}/game/play?bots=50`);
    await page.getByRole('link', { name: 'Dashboard' }).click();
    await until('the figures of the dashboard', async () => /players\s+\d+\s/.test(await page.locator('#figures').innerText()));
    // Does not follow the link: for a page that is not HTML, the browser would request /favicon.ico from the proxy.
    assert.equal(await page.getByRole('link', { name: '/metrics' }).evaluate(({ href }) => href), `${proxy}/game/metrics`);
    await page.close();
  }
  assert.deepEqual(complaints, []);
});

test('the pages are accessible', async (t) => {
  const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  const server = await serve(t, { MAX_CONNECTIONS: '1' });
  const { open } = await browse(t);
  const judge = async (page, what) => {
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    assert.deepEqual(violations.map(({ id, nodes }) => `${what}: ${id}: ${nodes[0].html}`), []);
  };
  const player = await open(server.url);
  await own(player);
  await judge(player, 'joined');
  await player.keyboard.press('Tab');
  await player.keyboard.press('Enter');
  assert.ok(await player.locator('#help').isVisible(), 'the keyboard opens the help');
  await judge(player, 'playing');
  const outside = await open(server.url);
  await outside.locator('#retry').waitFor();
  await judge(outside, 'waiting');
  for (const colorScheme of ['light', 'dark']) {
    const page = await open(`${server.url}/dashboard`, { colorScheme });
    await until('six charts', async () => (await page.locator('canvas[aria-label]').count()) === 6);
    await judge(page, colorScheme);
  }
});

test('with reduced motion only the players move', async (t) => {
  const server = await serve(t);
  const { open } = await browse(t);
  const pictures = async (reducedMotion) => {
    const page = await open(server.url, { reducedMotion });
    await own(page);
    const pictures = await page.evaluate(async () => {
      // The minimap is redrawn every 100 ms.
      await new Promise((resolve) => setTimeout(resolve, 300));
      const pictures = new Set();
      const until = performance.now() + 2000;
      while (performance.now() < until) {
        await new Promise((resolve) => requestAnimationFrame(resolve));
        pictures.add(document.getElementById('scene').toDataURL());
      }
      return pictures.size;
    });
    await page.close();
    return pictures;
  };
  assert.ok((await pictures('no-preference')) > 1, 'an idle player is animated');
  await until('all players to leave', async () => (await (await fetch(`${server.url}/health`)).json()).players === 0);
  assert.equal(await pictures('reduce'), 1);
});
