// Fixtures of the page tests: a server process, and a browser whose errors are collected.

import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer as createProxy, request as ask } from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { chromium } from 'playwright-core';

const { PROGRAMS, CHROMIUM } = process.env;

/** A spawn area so small that all players see each other, and frequent snapshots. */
export const TOGETHER = {
  SPAWN_MIN_X: '500', SPAWN_MAX_X: '600', SPAWN_MIN_Y: '500', SPAWN_MAX_Y: '600', SYNC_INTERVAL_SEC: '1',
};

/** Timeout of every wait, in milliseconds. */
const TIMEOUT_MS = 20_000;

/** Ports below those that the kernel gives to connections and to listeners without a port. */
const [FIRST_PORT, PORTS] = [12_000, 8_000];

/** Another test process at the same time starts elsewhere. */
let nextPort = process.pid * 997;

/** Returns a free port. No other call returns it for a long time, so that it is still free when a program listens there. */
async function freePort() {
  for (;;) {
    const port = FIRST_PORT + (nextPort++ % PORTS);
    const listener = createServer().listen(port, '127.0.0.1');
    const isFree = await once(listener, 'listening').then(() => true, () => false);
    if (!isFree) continue;
    listener.close();
    await once(listener, 'close');
    return port;
  }
}

/** Waits until a condition is truthy, and returns its value. */
export async function until(what, condition) {
  const deadline = Date.now() + TIMEOUT_MS;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`timed out waiting for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Starts a program of this project, or another by its full path, and stops it at the end of the test. */
export function run(test, name, args, env = {}, options = {}) {
  const child = spawn(resolve(PROGRAMS, name), args, { env: { ...process.env, ...env }, stdio: 'ignore', ...options });
  const ended = once(child, 'exit');
  child.end = async (signal = 'SIGTERM') => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await ended;
  };
  test.after(() => child.end('SIGKILL'));
  return child;
}

/** Starts a server with these settings; `prepare` is called with its host and port before the start. */
export async function serve(test, settings = {}, prepare = async () => undefined) {
  const port = settings.PORT ?? (await freePort());
  await prepare(`127.0.0.1:${port}`);
  const env = { HOST: '127.0.0.1', PORT: String(port), LOG_LEVEL: 'warn', ...settings };
  const process = run(test, 'pixi-game-server', [], env);
  const url = `http://127.0.0.1:${port}`;
  await until('a healthy server', () => fetch(`${url}/health`).then((response) => response.ok, () => false));
  return { url, port, process, end: (signal) => process.end(signal) };
}

/** Starts a server that takes over from the one at this port. */
export function takeOver(test, port, settings) {
  return run(test, 'pixi-game-server', ['--takeover'], { HOST: '127.0.0.1', PORT: String(port), ...settings });
}

/** Makes a folder, which is removed at the end of the test. */
export async function temporaryFolder(test) {
  const folder = await mkdtemp(join(tmpdir(), 'pixi-page-test-'));
  test.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Signs a token of a user, as the login of a site does. */
function sign(user, key) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const message = `${part({ alg: 'HS256', kid: 'k' })}.${part({ sub: user, exp: Date.now() / 1000 + 600 })}`;
  return `${message}.${createHmac('sha256', key).update(message).digest('base64url')}`;
}

/** Starts a server that admits accounts only, and returns it with the cookie of one. */
export async function serveAccounts(t, settings = {}) {
  const [key, file] = [Buffer.alloc(32, 7), join(await temporaryFolder(t), 'keys.json')];
  await writeFile(file, JSON.stringify({ keys: [{ kty: 'oct', kid: 'k', k: key.toString('base64url') }] }), { mode: 0o600 });
  const server = await serve(t, { ...TOGETHER, AUTH: 'jwt', AUTH_KEYS: file, ...settings });
  const cookie = { name: 'pixi_auth', value: sign('anna', key), url: server.url, httpOnly: true, sameSite: 'Lax' };
  return { server, cookie };
}

/** Starts a proxy that strips a path in front of a server and answers 404 elsewhere; returns its address. */
export async function strip(test, server, prefix) {
  const proxy = createProxy((request, response) => {
    if (!request.url.startsWith(`${prefix}/`)) return void response.writeHead(404).end();
    const { method, headers } = request;
    const path = request.url.slice(prefix.length);
    const upstream = ask({ host: '127.0.0.1', port: server.port, method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.rawHeaders);
      answer.pipe(response);
    });
    upstream.on('error', () => response.destroy());
    request.pipe(upstream);
  });
  proxy.on('upgrade', (request, socket, head) => {
    if (!request.url.startsWith(`${prefix}/`)) return void socket.end('HTTP/1.1 404 Not Found\r\n\r\n');
    const upstream = connect(server.port, '127.0.0.1');
    const fields = request.rawHeaders.map((text, n) => (n % 2 ? `${text}\r\n` : `${text}: `));
    upstream.write(`GET ${request.url.slice(prefix.length)} HTTP/1.1\r\n${fields.join('')}\r\n`);
    upstream.write(head);
    socket.pipe(upstream).pipe(socket);
    for (const [one, other] of [[socket, upstream], [upstream, socket]]) one.on('error', () => other.destroy());
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  test.after(() => {
    proxy.close();
    proxy.closeAllConnections();
  });
  return `http://127.0.0.1:${proxy.address().port}`;
}

/**
 * Starts a server with this many players on one screen. They change direction so often that none leaves it. Their own interest
 * sets are small, since they use the same CPUs.
 */
export async function crowd(test, players, seconds) {
  const spawn = { SPAWN_MIN_X: '850', SPAWN_MAX_X: '1150', SPAWN_MIN_Y: '960', SPAWN_MAX_Y: '1040' };
  const server = await serve(test, { MAX_VISIBLE: String(players + 100), ...spawn });
  const behaviour = ['--clients', String(players), '--moves-per-second', '20', '--viewport', '100x100'];
  const load = [...behaviour, '--duration', `${seconds}s`, '--viewers', '0'];
  run(test, 'loadtest', ['--server', `${server.url.replace('http', 'ws')}/ws`, ...load]);
  return server;
}

/** Starts a browser. Collects the errors of its pages in `complaints`. */
export async function browse(test) {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] });
  test.after(() => browser.close());
  const complaints = [];
  const open = async (url, options = {}, prepare = async () => undefined) => {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
    await prepare(context);
    const page = await context.newPage();
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('request', (request) => {
      if (new URL(request.url()).origin !== new URL(url).origin && !request.url().startsWith('data:')) {
        complaints.push(`request to another origin: ${request.url()}`);
      }
    });
    await page.goto(url);
    return page;
  };
  return { open, complaints };
}

/** Waits until the page's own player has joined, and returns it. */
export const own = async (page) => (await page.waitForFunction(() => globalThis.pixiGame?.own())).jsonValue();

/** Returns the number of other players on a page. */
export const shown = (page) => page.evaluate(() => globalThis.pixiGame?.others().length);

/** Returns another player on a page. */
export const other = (page, id) =>
  page.evaluate((id) => globalThis.pixiGame.others().find((player) => player.id === id), id);
