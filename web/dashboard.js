/**
 * The dashboard: metrics of the server as figures and charts.
 *
 * @module dashboard
 */

import { Chart } from './chart.js';
import { allNodes, checkedMetrics, duration, History, judge, short } from './history.js';

/** @import { Metrics, Sample } from './history.js' */

const ASK_MS = 1_000;

/** Timeout of a request, in milliseconds. */
const PATIENCE_MS = 3_000;

/**
 * @typedef {object} Figure
 * @property {string} name
 * @property {(sample: Sample) => string | undefined} text Undefined if the sample has no such value.
 * @property {(sample: Sample) => '' | 'good' | 'warn' | 'bad'} [judge]
 * @property {boolean} [isOfOne] Known of the answering node only.
 */

/** @type {Figure[]} */
const FIGURES = [
  { name: 'players', text: (now) => now.players.toLocaleString('en') },
  {
    name: 'ticks/s',
    text: (now) => now.ticksPerS.toFixed(1),
    // A node does not tell the others its skipped ticks, so the rate of the slowest node is compared with the configured one. Over
    // the 5 s in which it is measured, ticks that are late but not skipped change it by less than one.
    judge: (now) => (isOfAll() ? judge(1000 / now.tickMs - now.ticksPerS, [1, 3]) : judge(now.skipped, [0.001, 3])),
  },
  {
    name: 'tick, p99',
    text: (now) => `${now.tickP99Ms.toFixed(2)} ms`,
    judge: (now) => judge(now.tickP99Ms, [now.tickMs / 2, now.tickMs]),
  },
  {
    name: 'loop busy',
    text: (now) => `${Math.round(now.busy * 100)} %`,
    judge: (now) => judge(now.busy, [0.7, 0.9]),
  },
  {
    name: 'governor',
    text: (now) => (now.governor === 0 ? 'level 0' : `level ${now.governor} of ${now.governorMax}`),
    judge: (now) => judge(now.governor, [1, Infinity]),
  },
  { name: 'sent', text: (now) => short(now.bytesOut, 'B/s') },
  { name: 'CPU cores', text: (now) => now.cores.toFixed(2) },
  { name: 'memory', text: (now) => `${(now.memoryBytes / 2 ** 20).toFixed(1)} MiB` },
  {
    name: 'refused',
    text: (now) => short(now.refused, '/s'),
    judge: (now) => judge(now.refused, [1, 100]),
    isOfOne: true,
  },
  { name: 'reconnected', text: (now) => short(now.returned, '/s'), isOfOne: true },
  {
    name: 'other servers',
    text: ({ cluster }) => cluster && (cluster.isUp ? String(cluster.peers) : 'degraded'),
    judge: ({ cluster }) => (cluster?.isUp ? 'good' : 'warn'),
  },
  { name: 'their players', text: ({ cluster }) => cluster?.ghosts.toLocaleString('en'), isOfOne: true },
  { name: 'uptime', text: (now) => duration(now.uptimeS), isOfOne: true },
  { name: 'version', text: (now) => now.version },
];

/**
 * @typedef {object} Description
 * @property {string} title
 * @property {string} unit
 * @property {[name: string, of: (sample: Sample) => number, isOfOne?: boolean][]} lines One or two; with `isOfOne`, known of the
 *   answering node only.
 * @property {(sample: Sample) => { at: number, name: string }} [mark] A horizontal line, from the last sample.
 * @property {boolean} [isOfCluster] Shown only if the server belongs to a cluster.
 * @property {boolean} [isOfOne] Known of the answering node only.
 */

/** @type {Description[]} */
const CHARTS = [
  {
    title: 'Tick duration',
    unit: 'ms',
    lines: [['p99', (now) => now.tickP99Ms], ['p50', (now) => now.tickP50Ms, true]],
    mark: (now) => ({ at: now.tickMs, name: `${now.tickMs.toFixed(1)} ms` }),
  },
  { title: 'Players', unit: '', lines: [['players', (now) => now.players]] },
  { title: 'Bytes per second', unit: 'B/s', lines: [['out', (now) => now.bytesOut], ['in', (now) => now.bytesIn]] },
  { title: 'Messages per second', unit: '/s', lines: [['out', (now) => now.messagesOut], ['in', (now) => now.messagesIn]], isOfOne: true },
  {
    title: 'Refused per second',
    unit: '/s',
    lines: [['connections', (now) => now.refused], ['messages over the rate', (now) => now.overRate]],
    isOfOne: true,
  },
  { title: 'Governor', unit: '', lines: [['level', (now) => now.governor]] },
  {
    title: 'Bytes per second between servers',
    unit: 'B/s',
    lines: [['in', (now) => now.cluster?.busIn ?? 0], ['out', (now) => now.cluster?.busOut ?? 0]],
    isOfCluster: true,
    isOfOne: true,
  },
];

/** The answering node, and all nodes of its world together. */
const histories = { this: new History(), all: new History() };

/** @type {'this' | 'all'} */
let view = 'all';

/** Whether the figures are those of all nodes. */
const isOfAll = () => view === 'all' && histories.all.latest !== undefined;

/** Whether the shown nodes tell the values of a line. @param {Description['lines'][number]} line */
const isKnown = ([, , isOfOne]) => !(isOfOne && isOfAll());

const shownHistory = () => (isOfAll() ? histories.all : histories.this);

/** Columns of the table of nodes: title, and text of a cell. @type {[string, (node: Metrics) => string][]} */
const COLUMNS = [
  ['node', ({ node, is_this: isThis }) => (isThis ? `${node} (answers)` : node)],
  ['state', ({ state }) => state],
  ['uptime', (node) => duration(node.uptime_seconds)],
  ['players', ({ players }) => players.toLocaleString('en')],
  ['ticks/s', (node) => node.tick_rate_hz.toFixed(1)],
  ['tick, p99', (node) => `${(node.tick_p99_ns / 1e6).toFixed(2)} ms`],
  ['busy', (node) => `${Math.round(node.loop_busy_ratio * 100)} %`],
  ['flush', (node) => `${node.flush_interval_ms} ms`],
  ['shown', (node) => String(node.max_visible)],
  ['governor', (node) => `level ${node.governor_level}`],
  ['messages', (node) => short(node.events_per_second, '/s')],
  ['memory', (node) => `${(node.resident_bytes / 2 ** 20).toFixed(1)} MiB`],
];

const figures = /** @type {HTMLElement} */ (document.getElementById('figures'));
const state = /** @type {HTMLElement} */ (document.getElementById('state'));
const nodesPlace = /** @type {HTMLElement} */ (document.getElementById('nodes'));
const viewPlace = /** @type {HTMLElement} */ (document.getElementById('view'));

/**
 * @param {string} name
 * @param {HTMLElement} parent
 */
function add(name, parent, text = '') {
  const element = document.createElement(name);
  element.textContent = text;
  parent.append(element);
  return element;
}

const boxes = FIGURES.map((figure) => {
  const box = add('div', figures);
  add('dt', box, figure.name);
  return add('dd', box, '-');
});

/** Time of the cursor in all charts, in milliseconds of the page's clock. @type {number | undefined} */
let cursorAt;

const charts = CHARTS.map(({ title, lines }) => {
  const section = add('section', /** @type {HTMLElement} */ (document.getElementById('charts')));
  add('h2', section, title);
  const legend = add('p', section);
  const names = lines.map(([name]) => add('span', legend, name));
  return new Chart(/** @type {HTMLCanvasElement} */ (add('canvas', section)), names, (at) => {
    cursorAt = at;
    show();
  });
});

/** @param {Metrics[]} nodes */
function showNodes(nodes) {
  const table = document.createElement('table');
  const head = add('tr', add('thead', table));
  for (const [title] of COLUMNS) add('th', head, title).setAttribute('scope', 'col');
  const body = add('tbody', table);
  for (const node of [...nodes].sort((one, other) => one.node.localeCompare(other.node))) {
    const row = add('tr', body);
    for (const [, text] of COLUMNS) add('td', row, text(node));
  }
  nodesPlace.replaceChildren(table);
}

function show() {
  const { latest, samples } = shownHistory();
  nodesPlace.hidden = !isOfAll();
  if (document.hidden || !latest) return;
  FIGURES.forEach((figure, n) => {
    const text = figure.isOfOne && isOfAll() ? undefined : figure.text(latest);
    /** @type {HTMLElement} */ (boxes[n].parentElement).hidden = text === undefined;
    boxes[n].textContent = text ?? '';
    boxes[n].className = figure.judge?.(latest) ?? '';
  });
  CHARTS.forEach((description, n) => {
    const { canvas, legend } = charts[n];
    const isHidden = (description.isOfCluster && !latest.cluster) || Boolean(description.isOfOne && isOfAll());
    /** @type {HTMLElement} */ (canvas.parentElement).hidden = isHidden;
    if (isHidden) return;
    description.lines.forEach((line, at) => { legend[at].hidden = !isKnown(line); });
    const lines = description.lines.filter(isKnown).map(([name, of]) => /** @type {[string, typeof of]} */ ([name, of]));
    const { title, unit, mark } = description;
    charts[n].draw({ title, unit, lines, samples, mark: mark?.(latest), cursorAt }, latest.at);
  });
}

/**
 * Adds a response and shows it. A response that is not understood changes nothing.
 * @param {unknown} answer Parsed JSON.
 */
function take(answer) {
  const [metrics, now] = [checkedMetrics(answer), performance.now()];
  histories.this.add(metrics, now);
  const all = allNodes(metrics);
  if (all) {
    histories.all.add(all, now);
    showNodes(metrics.nodes);
  } else {
    histories.all = new History();
  }
  viewPlace.hidden = !all;
  show();
  state.textContent = metrics.node && !isOfAll() ? `up: ${metrics.node}` : 'up';
  state.className = 'good';
}

/** Requests the metrics, again and again: no exception ends the requests. */
async function ask() {
  let failure = 'no response';
  try {
    const answer = await fetch('metrics', {
      headers: { Accept: 'application/json' },
      cache: 'no-store',
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const text = await answer.text();
    failure = 'response not understood';
    take(JSON.parse(text));
  } catch (error) {
    state.textContent = `${failure} (${error instanceof Error ? error.message : error})`;
    state.className = 'bad';
  } finally {
    setTimeout(ask, ASK_MS);
  }
}

for (const name of /** @type {const} */ (['this', 'all'])) {
  document.getElementById(name)?.addEventListener('click', () => {
    view = name;
    for (const button of viewPlace.children) button.setAttribute('aria-pressed', String(button.id === view));
    show();
  });
}
document.addEventListener('visibilitychange', show);
addEventListener('resize', show);
ask();
