// Tests of the npm package in web/: packs it, installs it, and imports it in Node.js, in TypeScript and in a page.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { browse, run, serve, until } from './stage.mjs';

const execute = promisify(execFile);
const repository = fileURLToPath(new URL('../..', import.meta.url));
const web = join(repository, 'web');
const tsc = join(repository, 'tests/page/node_modules/.bin/tsc');
const text = (path) => readFile(join(repository, path), 'utf8');

/** Directory of a project with the package installed. */
let project;
let files;

before(async () => {
  project = await mkdtemp(join(tmpdir(), 'pixi-package-test-'));
  const { stdout } = await execute('npm', ['pack', '--json', '--pack-destination', project], { cwd: web });
  const [packed] = JSON.parse(stdout);
  files = packed.files.map(({ path }) => path);
  await writeFile(join(project, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  await execute('npm', ['install', '--offline', '--no-audit', '--no-fund', join(project, packed.filename)], { cwd: project });
});
after(() => rm(project, { recursive: true }));

/** Runs a program and returns its standard output. On failure, throws an error with the output of both streams. */
async function output(program, args, options = {}) {
  try {
    return (await execute(program, args, { cwd: project, ...options })).stdout;
  } catch (error) {
    throw new Error(`${program} ${args.join(' ')}: ${error.stdout}${error.stderr}`);
  }
}

/** Returns the JavaScript code blocks of the package's README. */
const examples = async () => [...(await text('web/README.md')).matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code);

/** Node.js before version 22 needs a flag for `WebSocket`. */
const NODE_FLAGS = Number(process.versions.node.split('.')[0]) < 22 ? ['--experimental-websocket'] : [];

test('the tarball holds codec, types, vectors, license and README', async () => {
  const expected = ['LICENSE', 'README.md', 'package.json', 'protocol.js', 'types/protocol.d.ts', 'types/vectors.d.ts', 'vectors.json'];
  assert.deepEqual([...files].sort(), expected);
  assert.equal(await text('web/LICENSE'), await text('LICENSE'));
  const { version, license } = JSON.parse(await text('web/package.json'));
  const manifest = await text('Cargo.toml');
  assert.equal(version, /^version = "(.*)"$/m.exec(manifest)[1]);
  assert.equal(license, /^license = "(.*)"$/m.exec(manifest)[1]);
});

test('the committed types match those that the compiler derives from the comments', async () => {
  const folder = join(project, 'types');
  await output(tsc, ['--project', join(repository, 'tests/page/tsconfig.types.json'), '--outDir', folder]);
  const generated = await readFile(join(folder, 'protocol.d.ts'), 'utf8');
  assert.equal(await text('web/types/protocol.d.ts'), generated, 'regenerate it as described in web/README.md');
});

test('Node.js imports the codec and the vectors, and the codec matches the vectors', async () => {
  const script = `
    import assert from 'node:assert/strict';
    import * as protocol from 'pixi-game-protocol';
    import vectors from 'pixi-game-protocol/vectors' with { type: 'json' };
    let count = 0;
    for (const { from, hex, message } of vectors.filter(({ message }) => message)) {
      const [encode, decode] = from === 'client'
        ? [protocol.encodeClient, protocol.decodeClient]
        : [protocol.encodeServer, protocol.decodeServer];
      const bytes = Buffer.from(hex, 'hex');
      assert.deepEqual(decode(bytes), message);
      assert.deepEqual(Buffer.from(encode(message)), bytes);
      count += 1;
    }
    console.log(count);
  `;
  await writeFile(join(project, 'vectors.js'), script);
  const messages = JSON.parse(await text('web/vectors.json')).filter(({ message }) => message);
  assert.ok(messages.length > 20);
  assert.equal(await output(process.execPath, ['vectors.js']), `${messages.length}\n`);
  const json = `process.stdout.write(String(require('pixi-game-protocol/vectors.json').length))`;
  assert.ok(Number(await output(process.execPath, ['--input-type=commonjs', '-e', json])) > messages.length);
});

test('the examples of the README run unchanged', async (t) => {
  const server = await serve(t);
  const [play, vectors, ...others] = await examples();
  assert.deepEqual(others, [], 'examples that no test runs');
  assert.ok(play.includes('ws://localhost:8108/'));
  await writeFile(join(project, 'play.js'), play.replace('localhost:8108', new URL(server.url).host));
  const child = run(t, process.execPath, [...NODE_FLAGS, 'play.js'], {}, { cwd: project, stdio: ['ignore', 'pipe', 'inherit'] });
  let stdout = '';
  child.stdout.on('data', (data) => (stdout += data));
  await until('the game state and the ack of the move', () => /type: 'gameState'/.test(stdout) && /type: 'ack'/.test(stdout));
  await writeFile(join(project, 'list.js'), vectors);
  assert.match(await output(process.execPath, ['list.js']), /^client 01 \{ type: 'join' \}$/m);
});

test('TypeScript accepts the package in strict mode, with the module resolution of Node.js and of bundlers', async () => {
  const script = `
    import { decodeServer, encodeClient, ProtocolError, TYPE } from 'pixi-game-protocol';
    import type { ClientMessage, Entry, ServerMessage } from 'pixi-game-protocol';
    import vectors from 'pixi-game-protocol/vectors' with { type: 'json' };
    import type { Vector } from 'pixi-game-protocol/vectors';

    const step: ClientMessage = { type: 'move', dx: 1, dy: 0, sequence: 1 };
    const bytes: Uint8Array<ArrayBuffer> = encodeClient(step);
    const socket = new WebSocket('ws://localhost:8108/ws');
    socket.send(bytes);
    const message: ServerMessage = decodeServer(bytes.buffer);
    decodeServer(new DataView(bytes.buffer));
    const players: Entry[] = message.type === 'gameState' ? message.players : [];
    const left: 12 = TYPE.PLAYER_LEFT;
    const all: readonly Vector[] = vectors;
    for (const vector of all) if (vector.from === 'client' && vector.message) encodeClient(vector.message);
    console.log(players, left, new ProtocolError('x').message);
    // @ts-expect-error: the components of a vector are -1, 0 or 1.
    encodeClient({ type: 'move', dx: 2, dy: 0, sequence: 1 });
    // @ts-expect-error: an array is not a payload.
    decodeServer([1, 2, 3]);
  `;
  await writeFile(join(project, 'consumer.ts'), script);
  // The compiler checks the vectors against their type only as a literal in a module.
  const held = `import type { Vector } from 'pixi-game-protocol/vectors';\nexport const held: readonly Vector[] = `;
  await writeFile(join(project, 'held.ts'), held + (await text('web/vectors.json')));
  const options = ['--strict', '--noEmit', '--target', 'es2024', '--lib', 'es2024,dom', '--types', ''];
  for (const [module, resolution] of [['nodenext', 'nodenext'], ['preserve', 'bundler']]) {
    const modules = ['--module', module, '--moduleResolution', resolution];
    await output(tsc, [...options, ...modules, 'consumer.ts', 'held.ts']);
  }
});

test('a page imports the package', async (t) => {
  const folder = join(project, 'site');
  await mkdir(folder);
  for (const file of ['protocol.js', 'vectors.json']) {
    await copyFile(join(project, 'node_modules/pixi-game-protocol', file), join(folder, file));
  }
  const imports = { 'pixi-game-protocol': './protocol.js', 'pixi-game-protocol/vectors': './vectors.json' };
  const page = `<!doctype html><link rel="icon" href="data:,"><script type="importmap">${JSON.stringify({ imports })}</script>
    <script type="module" src="game.js"></script><pre id="said"></pre>`;
  const [play, vectors] = await examples();
  const said = `const said = (...words) => (document.getElementById('said').textContent += JSON.stringify(words));\n`;
  const server = await serve(t, { STATIC_DIR: folder }, async (host) => {
    const script = `${vectors}${play.replace('localhost:8108', host)}`.replaceAll('console.log', 'said');
    await writeFile(join(folder, 'game.js'), said + script);
    await writeFile(join(folder, 'index.html'), page);
  });
  const { open, complaints } = await browse(t);
  const tab = await open(server.url);
  const shown = () => tab.locator('#said').textContent();
  await until('the vectors, the game state and the ack of the move', async () => {
    const words = await shown();
    return words.includes('["client","01",{"type":"join"}]') && /"type":"gameState"/.test(words) && /"type":"ack"/.test(words);
  });
  assert.deepEqual(complaints, []);
});
