/**
 * Samples of a server's metrics, one per second, with rates between consecutive samples.
 *
 * @module history
 */

/** Seconds of samples kept. */
export const SECONDS_KEPT = 600;

/**
 * A response of `/metrics`.
 * @typedef {Record<string, any>} Metrics
 */

/**
 * Charted values at one time. Rates are per second.
 * @typedef {object} Sample
 * @property {number} at Milliseconds of the page's clock.
 * @property {number} players
 * @property {number} tickP50Ms
 * @property {number} tickP99Ms
 * @property {number} ticksPerS
 * @property {number} messagesIn
 * @property {number} messagesOut
 * @property {number} bytesIn
 * @property {number} bytesOut
 * @property {number} refused
 * @property {number} overRate
 * @property {number} skipped
 * @property {number} cores
 * @property {number} memoryBytes
 * @property {number} busy Fraction of the time in which the event loop was busy.
 * @property {number} tickMs Period of a tick as configured.
 * @property {number} governor Level; 0 is the configured quality.
 * @property {number} governorMax The highest level.
 * @property {number} flushMs
 * @property {number} returned Players that reconnected at their positions.
 * @property {number} uptimeS Seconds since the start of the server.
 * @property {string} [version] Version of the server.
 * @property {Cluster} [cluster] Present if the server belongs to a cluster.
 */

/**
 * Metrics of the cluster.
 * @typedef {object} Cluster
 * @property {boolean} isUp Whether the bus is reachable.
 * @property {number} peers
 * @property {number} ghosts Copies of other nodes' players.
 * @property {number} busIn Bytes per second.
 * @property {number} busOut
 */

/** Numbers that a node tells the other nodes as well. */
const NODE_NUMBERS = [
  'players', 'uptime_seconds', 'tick_rate_hz', 'tick_p99_ns', 'loop_busy_ratio', 'governor_level', 'flush_interval_ms', 'max_visible',
  'events_per_second', 'resident_bytes', 'bytes_in_total', 'bytes_out_total', 'cpu_ns_total',
];

/** Numbers that the answering node tells. */
const NUMBERS = [
  ...NODE_NUMBERS, 'tick_p50_ns', 'tick_rate_configured_hz', 'ticks_total', 'ticks_skipped_total', 'messages_in_total',
  'messages_out_total', 'rate_limited_total', 'governor_level_max',
];
const CLUSTER_NUMBERS = ['up', 'peers', 'ghosts', 'bus_bytes_in_total', 'bus_bytes_out_total'];

/**
 * Checks that a response has every value that the dashboard shows.
 * @param {any} answer Parsed JSON.
 * @returns {Metrics}
 * @throws {TypeError} Names the first value that is missing or of another type.
 */
export function checkedMetrics(answer) {
  const check = (/** @type {any} */ object, /** @type {string[]} */ keys, path = '', type = 'number') => {
    for (const key of keys) {
      const value = object?.[key];
      const isRight = typeof value === type && (type !== 'number' || Number.isFinite(value));
      if (!isRight) throw new TypeError(`${path}${key} is ${JSON.stringify(value)}`);
    }
  };
  check(answer, NUMBERS);
  if (typeof answer.refused !== 'object' || !answer.refused) throw new TypeError(`refused is ${JSON.stringify(answer.refused)}`);
  check(answer.refused, Object.keys(answer.refused), 'refused.');
  check(answer.resumes, ['hit', 'taken_over'], 'resumes.');
  const { cluster, nodes } = answer;
  if (cluster !== undefined) check(cluster, CLUSTER_NUMBERS, 'cluster.');
  if (nodes === undefined) return answer;
  if (!Array.isArray(nodes)) throw new TypeError(`nodes is ${JSON.stringify(nodes)}`);
  nodes.forEach((node, n) => {
    check(node, NODE_NUMBERS, `nodes.${n}.`);
    check(node, ['node', 'state'], `nodes.${n}.`, 'string');
  });
  return answer;
}

/** @param {Record<string, number>} counts */
const sum = (counts) => Object.values(counts).reduce((all, count) => all + count, 0);

/**
 * Adds up the nodes of a world. Counters and gauges that a node does not tell the others are those of the node that answered.
 * @param {Metrics} metrics
 * @returns {Metrics | undefined} Undefined if there is no other node.
 */
export function allNodes(metrics) {
  const { nodes } = metrics;
  if (!(nodes?.length > 1)) return undefined;
  const of = (/** @type {string} */ key) => nodes.map((/** @type {Metrics} */ node) => node[key]);
  const total = (/** @type {string} */ key) => of(key).reduce((/** @type {number} */ all, /** @type {number} */ one) => all + one, 0);
  const most = (/** @type {string} */ key) => Math.max(...of(key));
  return {
    ...metrics,
    // Without rates between different nodes, or before and after a restart.
    node: of('node').sort().join(),
    ticks_total: total('uptime_seconds'),
    players: total('players'),
    bytes_in_total: total('bytes_in_total'),
    bytes_out_total: total('bytes_out_total'),
    cpu_ns_total: total('cpu_ns_total'),
    resident_bytes: total('resident_bytes'),
    tick_rate_hz: Math.min(...of('tick_rate_hz')),
    tick_p99_ns: most('tick_p99_ns'),
    loop_busy_ratio: most('loop_busy_ratio'),
    governor_level: most('governor_level'),
    flush_interval_ms: most('flush_interval_ms'),
  };
}

/**
 * Derives a sample from two consecutive responses. Returns none without a previous response, if the server has restarted, or if
 * another node of its world has answered.
 * @param {Metrics} metrics
 * @param {number} at
 * @param {{ metrics: Metrics, at: number } | undefined} before
 * @returns {Sample | undefined}
 */
export function sample(metrics, at, before) {
  if (!before || metrics.ticks_total < before.metrics.ticks_total || at <= before.at) return undefined;
  if (metrics.node !== before.metrics.node) return undefined;
  const seconds = (at - before.at) / 1000;
  const perS = (/** @type {(metrics: Metrics) => number} */ of) => (of(metrics) - of(before.metrics)) / seconds;
  return {
    at,
    players: metrics.players,
    tickP50Ms: metrics.tick_p50_ns / 1e6,
    tickP99Ms: metrics.tick_p99_ns / 1e6,
    ticksPerS: metrics.tick_rate_hz,
    messagesIn: perS((of) => of.messages_in_total),
    messagesOut: perS((of) => of.messages_out_total),
    bytesIn: perS((of) => of.bytes_in_total),
    bytesOut: perS((of) => of.bytes_out_total),
    refused: perS((of) => sum(of.refused)),
    overRate: perS((of) => of.rate_limited_total),
    skipped: perS((of) => of.ticks_skipped_total),
    cores: perS((of) => of.cpu_ns_total) / 1e9,
    memoryBytes: metrics.resident_bytes,
    busy: metrics.loop_busy_ratio,
    tickMs: 1000 / metrics.tick_rate_configured_hz,
    governor: metrics.governor_level,
    governorMax: metrics.governor_level_max,
    flushMs: metrics.flush_interval_ms,
    returned: perS((of) => of.resumes.hit + of.resumes.taken_over),
    uptimeS: metrics.uptime_seconds,
    version: metrics.build_info?.version,
    cluster: metrics.cluster && {
      isUp: metrics.cluster.up === 1,
      peers: metrics.cluster.peers,
      ghosts: metrics.cluster.ghosts,
      busIn: perS((of) => of.cluster.bus_bytes_in_total),
      busOut: perS((of) => of.cluster.bus_bytes_out_total),
    },
  };
}

/** Samples of the last minutes. */
export class History {
  /** @type {Sample[]} */
  samples = [];
  /** @type {{ metrics: Metrics, at: number } | undefined} */
  #before;

  /**
   * Adds a response.
   * @param {Metrics} metrics
   * @param {number} at
   */
  add(metrics, at) {
    const now = sample(metrics, at, this.#before);
    this.#before = { metrics, at };
    if (now) this.samples.push(now);
    const oldest = at - SECONDS_KEPT * 1000;
    while (this.samples.length > 0 && this.samples[0].at < oldest) this.samples.shift();
  }

  /** The last sample. */
  get latest() {
    return this.samples.at(-1);
  }
}

/**
 * Smallest number that gets each prefix, its factor, and the prefix.
 * @type {[number, number, string][]}
 */
const PREFIXES = [[1e9, 1e9, 'G'], [1e6, 1e6, 'M'], [1e4, 1e3, 'k']];

/**
 * Returns the prefix of a number and its factor.
 * @param {number} value
 */
export function prefixOf(value) {
  const [, size, prefix] = PREFIXES.find(([from]) => value >= from) ?? [0, 1, ''];
  return { size, prefix };
}

/**
 * Formats a number with few digits and its unit: 1,234 B/s or 12.3 kB/s.
 * @param {number} value
 * @param {string} unit Empty for a plain number.
 */
export function short(value, unit = '') {
  const { size, prefix } = prefixOf(value);
  if (prefix) return `${(value / size).toPrecision(3)} ${prefix}${unit}`;
  const isWhole = value >= 100 || Number.isInteger(value);
  return `${isWhole ? Math.round(value).toLocaleString('en') : value.toPrecision(2)} ${unit}`.trimEnd();
}

/**
 * Units of a duration, with their seconds.
 * @type {[string, number][]}
 */
const DURATIONS = [['d', 86_400], ['h', 3_600], ['min', 60], ['s', 1]];

/**
 * Formats a duration by its two largest units: 3 d 4 h, or 7 min 0 s.
 * @param {number} seconds
 */
export function duration(seconds) {
  const first = DURATIONS.findIndex(([, size]) => seconds >= size);
  if (first < 0) return '0 s';
  let rest = Math.floor(seconds);
  const parts = DURATIONS.slice(first, first + 2).map(([unit, size]) => {
    const count = Math.floor(rest / size);
    rest -= count * size;
    return `${count} ${unit}`;
  });
  return parts.join(' ');
}

/**
 * Rates a figure: good below the first threshold, bad from the second on.
 * @param {number} value
 * @param {[number, number]} thresholds
 * @returns {'good' | 'warn' | 'bad'}
 */
export const judge = (value, [warn, bad]) => (value >= bad ? 'bad' : value >= warn ? 'warn' : 'good');
