/**
 * The client's state of the world: the own player, predicted ahead of the server, and the other players as received. The
 * module is pure: the caller passes in times, in milliseconds of a monotonic clock.
 *
 * @module world
 */

import { DEFAULT_RULES } from './rules.js';

/** @import { ClientMessage, Entry, Part, ServerMessage, State } from './protocol.js' */
/** @import { Rules } from './rules.js' */

/** Time constant of a fading correction, in milliseconds: about a third remains after this time. */
const CORRECTION_MS = 80;

/** Largest correction that fades, in units; a larger one is applied immediately. */
const CORRECTION_UNITS_MAX = 120;

/** Maximum number of steps without an ack; older ones count as acknowledged. */
const PENDING_MAX = 240;

/** Time over which the ping is the median, in milliseconds. A standing player measures it every two seconds. */
const PING_MS = 10_000;

/**
 * @param {number} units
 * @param {number} side Side of the world, in units.
 */
const clamp = (units, side) => Math.min(Math.max(units, 0), side);

/**
 * Returns the median; undefined for no values.
 * @param {number[]} values
 * @returns {number | undefined}
 */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 || half === 0 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/**
 * The difference between a player's position and its drawn position. It fades with time.
 */
class Correction {
  x = 0;
  y = 0;
  at = 0;

  /**
   * Adds a correction of the position. The drawn position follows gradually.
   * @param {number} dx
   * @param {number} dy
   * @param {number} now
   */
  add(dx, dy, now) {
    const { x, y } = this.get(now);
    const isSmall = Math.hypot(x - dx, y - dy) <= CORRECTION_UNITS_MAX;
    [this.x, this.y, this.at] = isSmall ? [x - dx, y - dy, now] : [0, 0, now];
  }

  /** @param {number} now */
  get(now) {
    const left = Math.exp(-(now - this.at) / CORRECTION_MS);
    return { x: this.x * left, y: this.y * left };
  }
}

/** Another player. */
export class Remote {
  #correction = new Correction();

  /**
   * @param {Entry} entry
   * @param {number} now
   * @param {Readonly<Rules>} rules
   */
  constructor(entry, now, rules) {
    this.rules = rules;
    this.id = entry.id;
    this.x = entry.x;
    this.y = entry.y;
    /** @type {Part} */
    this.dx = entry.dx;
    /** @type {Part} */
    this.dy = entry.dy;
    this.facing = entry.facing;
    /** Start of the attack; `-Infinity` without one. */
    this.attackedAt = entry.state === 'attacking' ? now : -Infinity;
    this.cameAt = now;
    this.at = now;
  }

  /** @param {number} now */
  advance(now) {
    const { width, height, stepUnits, stepMs } = this.rules;
    const units = (stepUnits / stepMs) * Math.max(now - this.at, 0);
    this.x = clamp(this.x + this.dx * units, width);
    this.y = clamp(this.y + this.dy * units, height);
    this.at = now;
  }

  /**
   * Changes the rules from now on.
   * @param {Readonly<Rules>} rules
   * @param {number} now
   */
  obey(rules, now) {
    this.advance(now);
    this.rules = rules;
  }

  /**
   * Sets the position to one received from the server.
   * @param {number} x
   * @param {number} y
   * @param {number} now
   */
  place(x, y, now) {
    this.advance(now);
    this.#correction.add(x - this.x, y - this.y, now);
    [this.x, this.y] = [x, y];
  }

  /**
   * @param {Part} dx
   * @param {Part} dy
   * @param {number} now
   */
  head(dx, dy, now) {
    this.advance(now);
    [this.dx, this.dy] = [dx, dy];
    if (dx !== 0 || dy !== 0) this.attackedAt = -Infinity;
  }

  /**
   * @param {number} now
   * @returns {State}
   */
  state(now) {
    if (now - this.attackedAt < this.rules.attackMs) return 'attacking';
    return this.dx !== 0 || this.dy !== 0 ? 'moving' : 'idle';
  }

  /** @param {number} now */
  drawn(now) {
    this.advance(now);
    const correction = this.#correction.get(now);
    return { x: this.x + correction.x, y: this.y + correction.y };
  }
}

/**
 * The own player. It moves immediately; acks of the server correct the prediction. Its position may have a fraction, since a
 * step may cover one; positions in messages are whole units.
 */
export class Own {
  #correction = new Correction();
  #sequence = 0;
  /** @type {{ sequence: number, dx: number, dy: number, x: number, y: number, sentAt: number }[]} */
  #pending = [];
  /** Drawn position at the start of the last step. */
  #before;
  /** Times from MOVEs to their acks. @type {{ at: number, ms: number }[]} */
  #pings = [];

  /**
   * @param {Entry} entry
   * @param {Readonly<Rules>} rules
   */
  constructor(entry, rules) {
    this.rules = rules;
    this.#before = { x: entry.x, y: entry.y, at: -Infinity };
    this.id = entry.id;
    this.x = entry.x;
    this.y = entry.y;
    this.dx = 0;
    this.dy = 0;
    this.facing = entry.facing;
    this.attackedAt = -Infinity;
    this.corrections = 0;
  }

  /** Median time from a MOVE to its ack over the last seconds, in milliseconds; undefined before the first. */
  get pingMs() {
    return median(this.#pings.map(({ ms }) => ms));
  }

  /**
   * Makes one step along the vector, or stops.
   * @param {Part} dx
   * @param {Part} dy
   * @param {number} now
   * @returns {ClientMessage} The message for the server.
   */
  step(dx, dy, now) {
    this.#before = { ...this.#along(now), at: now };
    [this.dx, this.dy] = [dx, dy];
    this.#sequence += 1;
    const step = { sequence: this.#sequence, dx, dy, ...this.#walk(dx, dy) };
    this.#pending.push({ ...step, sentAt: now });
    if (this.#pending.length > PENDING_MAX) this.#pending.shift();
    return { type: 'move', ...step };
  }

  /**
   * Moves by one step. Thousandths of a unit are exact: no error adds up over the steps.
   * @param {number} dx
   * @param {number} dy
   * @returns {{ x: number, y: number }} The position in whole units, as the server has it.
   */
  #walk(dx, dy) {
    const { width, height, stepUnits } = this.rules;
    const exact = (/** @type {number} */ units) => Math.round(units * 1000) / 1000;
    this.x = exact(clamp(this.x + dx * stepUnits, width));
    this.y = exact(clamp(this.y + dy * stepUnits, height));
    return { x: Math.round(this.x), y: Math.round(this.y) };
  }

  /**
   * Reconciles the prediction with the server's position after the acknowledged step.
   * @param {{ x: number, y: number, sequence: number }} ack
   * @param {number} now
   */
  acknowledge({ x, y, sequence }, now) {
    const index = this.#pending.findIndex((step) => step.sequence === sequence);
    if (index < 0) return;
    const step = this.#pending[index];
    this.#pending.splice(0, index + 1);
    this.#pings.push({ at: now, ms: now - step.sentAt });
    this.#pings = this.#pings.filter(({ at }) => at > now - PING_MS);
    if (step.x === x && step.y === y) return;
    this.corrections += 1;
    const [wasX, wasY] = [this.x, this.y];
    [this.x, this.y] = [x, y];
    for (const later of this.#pending) Object.assign(later, this.#walk(later.dx, later.dy));
    const [byX, byY] = [this.x - wasX, this.y - wasY];
    this.#before = { x: this.#before.x + byX, y: this.#before.y + byY, at: this.#before.at };
    this.#correction.add(byX, byY, now);
  }

  /** Steps that the server has not acknowledged. */
  get unanswered() {
    return this.#pending.length;
  }

  /** @param {number} now */
  isAttacking(now) {
    return now - this.attackedAt < this.rules.attackMs;
  }

  /**
   * @param {number} now
   * @returns {State}
   */
  state(now) {
    if (this.isAttacking(now)) return 'attacking';
    return this.dx !== 0 || this.dy !== 0 ? 'moving' : 'idle';
  }

  /**
   * Interpolates between the last two steps, so that the player moves evenly at any frame rate.
   * @param {number} now
   */
  #along(now) {
    const part = Math.min(Math.max((now - this.#before.at) / this.rules.stepMs, 0), 1);
    return {
      x: this.#before.x + (this.x - this.#before.x) * part,
      y: this.#before.y + (this.y - this.#before.y) * part,
    };
  }

  /** @param {number} now */
  drawn(now) {
    const [{ x, y }, correction] = [this.#along(now), this.#correction.get(now)];
    return { x: x + correction.x, y: y + correction.y };
  }
}

/** All players in view. */
export class World {
  /** @type {Own | undefined} The own player, after the first GAME_STATE. */
  own;
  /** @type {Map<number, Remote>} */
  remotes = new Map();

  /** @param {Readonly<Rules>} rules */
  constructor(rules = DEFAULT_RULES) {
    this.rules = rules;
  }

  /**
   * Changes the rules from now on.
   * @param {Readonly<Rules>} rules
   * @param {number} now
   */
  obey(rules, now) {
    this.rules = rules;
    if (this.own) this.own.rules = rules;
    for (const remote of this.remotes.values()) remote.obey(rules, now);
  }

  /**
   * Applies a message of the server.
   * @param {ServerMessage} message
   * @param {number} now
   */
  receive(message, now) {
    switch (message.type) {
      case 'gameState':
        return this.#replace(message.players, now);
      case 'ack':
        return this.own?.acknowledge(message, now);
      case 'joined':
        return this.#show(message.player, now);
      case 'left':
        return void this.remotes.delete(message.id);
    }
    const remote = this.remotes.get(message.id);
    if (!remote) return;
    switch (message.type) {
      case 'movement':
        return remote.head(message.dx, message.dy, now);
      case 'direction':
        remote.facing = message.facing;
        return;
      case 'attack':
        remote.place(message.x, message.y, now);
        remote.head(0, 0, now);
        remote.attackedAt = now;
    }
  }

  /**
   * Applies a GAME_STATE, which lists all players in view. In the first one, the own player has the highest id.
   * @param {Entry[]} players
   * @param {number} now
   */
  #replace(players, now) {
    if (!this.own && players.length > 0) {
      this.own = new Own(players.reduce((a, b) => (b.id > a.id ? b : a)), this.rules);
    }
    const there = new Set(players.map((player) => player.id));
    for (const id of this.remotes.keys()) {
      if (!there.has(id)) this.remotes.delete(id);
    }
    for (const player of players) this.#show(player, now);
  }

  /**
   * @param {Entry} entry
   * @param {number} now
   */
  #show(entry, now) {
    if (entry.id === this.own?.id) return;
    const remote = this.remotes.get(entry.id);
    if (!remote) return void this.remotes.set(entry.id, new Remote(entry, now, this.rules));
    remote.place(entry.x, entry.y, now);
    remote.facing = entry.facing;
    if (entry.state !== 'attacking') remote.head(entry.dx, entry.dy, now);
  }
}
