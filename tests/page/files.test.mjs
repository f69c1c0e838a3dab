// Tests of STATIC_DIR in a real browser: seeking in audio, relative links of directories, compressed scripts.

import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { brotliCompressSync, gzipSync } from 'node:zlib';

import { browse, serve, temporaryFolder } from './stage.mjs';

/** Samples per second of the audio file. */
const RATE = 8_000;

/** Returns a silent WAV file, with one byte per sample. */
function silence(seconds) {
  const bytes = Buffer.alloc(44 + seconds * RATE, 128);
  bytes.write('RIFF', 0);
  bytes.writeUInt32LE(bytes.length - 8, 4);
  bytes.write('WAVEfmt ', 8);
  bytes.writeUInt32LE(16, 16);
  bytes.writeUInt16LE(1, 20);
  bytes.writeUInt16LE(1, 22);
  bytes.writeUInt32LE(RATE, 24);
  bytes.writeUInt32LE(RATE, 28);
  bytes.writeUInt16LE(1, 32);
  bytes.writeUInt16LE(8, 34);
  bytes.write('data', 36);
  bytes.writeUInt32LE(bytes.length - 44, 40);
  return bytes;
}

/** Starts a server that serves these files. */
async function serveFiles(t, files) {
  const site = await temporaryFolder(t);
  for (const [name, content] of Object.entries(files)) {
    await mkdir(join(site, name, '..'), { recursive: true });
    await writeFile(join(site, name), content);
  }
  return serve(t, { STATIC_DIR: site });
}

const page = (body) => `<!doctype html><link rel="icon" href="data:,"><title>files</title>${body}`;

test('seeking in audio works', async (t) => {
  const server = await serveFiles(t, {
    'index.html': page('<audio src="music.wav" preload="metadata"></audio>'),
    'music.wav': silence(90),
  });
  const { open, complaints } = await browse(t);
  const tab = await open(server.url);
  const times = await tab.evaluate(async () => {
    const audio = document.querySelector('audio');
    const event = (name) => new Promise((resolve) => audio.addEventListener(name, resolve, { once: true }));
    if (audio.readyState < HTMLMediaElement.HAVE_METADATA) await event('loadedmetadata');
    const sought = event('seeked');
    audio.currentTime = 60;
    await sought;
    return { duration: audio.duration, now: audio.currentTime, end: audio.seekable.end(0) };
  });
  assert.deepEqual(times, { duration: 90, now: 60, end: 90 });
  assert.deepEqual(complaints, []);
});

test('relative links of a directory resolve with and without a trailing slash', async (t) => {
  const server = await serveFiles(t, {
    'docs/index.html': page('<script src="name.js"></script>'),
    'docs/name.js': 'globalThis.name = "docs";',
    'name.js': 'globalThis.name = "the wrong one";',
  });
  const { open, complaints } = await browse(t);
  for (const path of ['/docs', '/docs/', '/docs?x=1']) {
    const tab = await open(server.url + path);
    assert.equal(await tab.evaluate(() => globalThis.name), 'docs', path);
  }
  for (const path of ['/play/', '/dashboard/']) {
    const tab = await open(server.url + path);
    assert.equal(new URL(tab.url()).pathname, path.slice(0, -1));
  }
  assert.deepEqual(complaints, []);
});

test('compressed scripts run', async (t) => {
  const form = (name) => `globalThis.form = "${name}";`;
  const server = await serveFiles(t, {
    'index.html': page('<script src="app.js"></script>'),
    'gzip.html': page('<script src="gzip.js"></script>'),
    'app.js': form('plain'),
    'app.js.br': brotliCompressSync(form('br')),
    'app.js.gz': gzipSync(form('gzip')),
    'gzip.js': form('plain'),
    'gzip.js.gz': gzipSync(form('gzip')),
  });
  const { open, complaints } = await browse(t);
  for (const [path, expected] of [['/', 'br'], ['/gzip.html', 'gzip']]) {
    const tab = await open(server.url + path);
    assert.equal(await tab.evaluate(() => globalThis.form), expected);
  }
  assert.deepEqual(complaints, []);
});
