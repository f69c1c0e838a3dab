/**
 * The game in the browser: connects the modules for connection, input, world and scene.
 *
 * @module play
 */

import { startBots } from './bots.js';
import { Connection, gameAddress } from './connection.js';
import { Input } from './input.js';
import { Population } from './population.js';
import { Scene } from './scene.js';
import { ATTACK_MS, STEP_MS, World } from './world.js';

/** @import { Part } from './protocol.js' */
/** @import { Status } from './connection.js' */

/** Interval between MOVEs of a standing player, in milliseconds: their acks measure the ping. */
const STANDING_MS = 2_000;

/** Maximum number of steps made up after a slow frame. */
const STEPS_AT_ONCE_MAX = 3;

/** Interval between two updates of the figures, in milliseconds. */
const FIGURES_MS = 500;

/** Delay from the last resize to the VIEWPORT message, in milliseconds. */
const RESIZE_MS = 150;

const BOTS_MAX = 200;

/**
 * @template {HTMLElement} T
 * @param {string} id
 */
const element = (id) => /** @type {T} */ (document.getElementById(id));

class Play {
  world = new World();
  scene = new Scene(element('scene'));
  #population = new Population();
  /** Connected bots of this page. */
  bots = () => 0;
  #stepAt = performance.now();
  #toldAt = -Infinity;
  #attackUntil = -Infinity;
  #frames = 0;
  #figuresAt = performance.now();
  /** @type {Status} */
  #status = { is: 'connecting' };
  #motion = matchMedia('(prefers-reduced-motion: reduce)');

  constructor() {
    this.input = new Input(this.scene.canvas, { attack: () => this.attack(), aim: (x) => this.aim(x) });
    this.connection = new Connection({
      address: gameAddress(),
      onOpen: () => this.#begin(),
      onMessage: (message) => this.world.receive(message, performance.now()),
      onStatus: (status) => this.#show(status),
    });
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    new ResizeObserver(() => {
      this.scene.resize();
      clearTimeout(timer);
      timer = setTimeout(() => this.#tellViewport(), RESIZE_MS);
    }).observe(this.scene.canvas);
    element('retry').addEventListener('click', () => this.connection.retry());
    element('help-button').addEventListener('click', (event) => {
      const help = element('help');
      help.hidden = !help.hidden;
      /** @type {HTMLElement} */ (event.target).setAttribute('aria-expanded', String(!help.hidden));
    });
    // The page may miss the release of a key while it is hidden, so the player stops.
    document.addEventListener('visibilitychange', () => document.hidden && this.#stop());
    requestAnimationFrame((now) => this.#frame(now));
  }

  /** Starts an attack, unless one is in progress. */
  attack() {
    const now = performance.now();
    const { own } = this.world;
    if (!own || now < this.#attackUntil || !this.connection.isOpen) return;
    this.#attackUntil = now + ATTACK_MS;
    [own.attackedAt, own.dx, own.dy] = [now, 0, 0];
    this.connection.send({ type: 'attack' });
  }

  /**
   * Turns the player toward this point.
   * @param {number} x CSS pixels from the left edge.
   */
  aim(x) {
    if (Math.abs(x - this.scene.ownX) > 8) this.#face(x > this.scene.ownX ? 'right' : 'left');
  }

  /** Resets the state for a new connection, with a new player. */
  #begin() {
    this.world = new World();
    this.#population.forget();
    this.#toldAt = -Infinity;
    this.#attackUntil = -Infinity;
    this.#tellViewport();
  }

  #tellViewport() {
    this.connection.send({ type: 'viewport', ...this.scene.viewport });
  }

  /** @param {'left' | 'right'} facing */
  #face(facing) {
    const { own } = this.world;
    if (!own || own.facing === facing) return;
    own.facing = facing;
    this.connection.send({ type: 'direction', facing });
  }

  #stop() {
    const { own } = this.world;
    if (own && (own.dx !== 0 || own.dy !== 0)) this.#step(0, 0, performance.now());
  }

  /**
   * @param {Part} dx
   * @param {Part} dy
   * @param {number} now
   */
  #step(dx, dy, now) {
    const { own } = this.world;
    if (!own) return;
    this.connection.send(own.step(dx, dy, now));
    this.#toldAt = now;
  }

  /** @param {number} now */
  #frame(now) {
    requestAnimationFrame((next) => this.#frame(next));
    this.#live(now);
    this.scene.draw(this.world, now, this.#motion.matches);
    this.#frames += 1;
    this.#showPlayers(now);
    if (now - this.#figuresAt >= FIGURES_MS) this.#showFigures(now);
    if (this.#status.is === 'waiting') this.#showWait(this.#status, now);
  }

  /**
   * Ends an attack that is over, and makes the steps that are due.
   * @param {number} now
   */
  #live(now) {
    const { own } = this.world;
    if (!own || !this.connection.isOpen) return void (this.#stepAt = now);
    if (this.#attackUntil > -Infinity && now >= this.#attackUntil) {
      this.#attackUntil = -Infinity;
      this.connection.send({ type: 'attackEnd' });
    }
    if (now - this.#stepAt > STEPS_AT_ONCE_MAX * STEP_MS) this.#stepAt = now - STEP_MS;
    for (; now - this.#stepAt >= STEP_MS; this.#stepAt += STEP_MS) {
      if (now < this.#attackUntil) continue;
      const [dx, dy] = this.input.direction;
      if (dx !== 0 || dy !== 0) {
        if (dx !== 0 && dx !== own.dx) this.#face(dx > 0 ? 'right' : 'left');
        this.#step(dx, dy, now);
      } else if (own.dx !== 0 || own.dy !== 0 || now - this.#toldAt >= STANDING_MS) {
        this.#step(0, 0, now);
      }
    }
  }

  /** @param {Status} status */
  #show(status) {
    this.#status = status;
    element('notice').hidden = status.is === 'open';
    element('retry').hidden = status.is !== 'waiting';
    if (status.is === 'connecting') element('notice-text').textContent = 'Connecting...';
    if (status.is === 'waiting') this.#showWait(status, performance.now());
  }

  /**
   * @param {Extract<Status, { is: 'waiting' }>} status
   * @param {number} now
   */
  #showWait({ reason, until }, now) {
    const wait = ` Trying again in ${Math.max(Math.ceil((until - now) / 1000), 1)} s.`;
    const text = reason + (Number.isFinite(until) ? wait : '');
    const notice = element('notice-text');
    // Only on a change: screen readers announce every write.
    if (notice.textContent !== text) notice.textContent = text;
  }

  /** @param {number} now */
  #showFigures(now) {
    const framesPerS = (this.#frames * 1000) / (now - this.#figuresAt);
    [this.#frames, this.#figuresAt] = [0, now];
    const ping = this.world.own?.pingMs;
    element('ping').textContent = ping === undefined ? '-' : `${Math.round(ping)} ms`;
    element('frames').textContent = String(Math.round(framesPerS));
  }

  /**
   * Shows the players in view and on the server. Before the first GAME_STATE the server may not count the own player.
   * @param {number} now
   */
  #showPlayers(now) {
    const isIn = this.world.own !== undefined && this.connection.isOpen;
    const inView = isIn ? this.world.remotes.size + 1 : undefined;
    if (inView !== undefined) this.#population.follow(inView, () => performance.now());
    const players = inView === undefined ? undefined : this.#population.count(Math.max(inView, this.bots() + 1), now);
    write('shown', inView?.toString() ?? '-');
    write('players', players?.toString() ?? '-');
  }
}

/**
 * Writes a figure when it changes.
 * @param {string} id
 * @param {string} text
 */
function write(id, text) {
  const figure = element(id);
  if (figure.textContent !== text) figure.textContent = text;
}

const play = new Play();
const bots = Math.min(Number(new URLSearchParams(location.search).get('bots')) || 0, BOTS_MAX);
if (bots > 0) play.bots = startBots(bots, gameAddress());

/** For tests and debugging: the drawn players and their positions. */
Object.assign(globalThis, {
  pixiGame: {
    own: () => describe(play.world.own),
    others: () => [...play.world.remotes.values()].map(describe),
    corrections: () => play.world.own?.corrections,
    connection: () => ({ isOpen: play.connection.isOpen, errors: play.connection.errors }),
  },
});

/** @param {import('./world.js').Own | import('./world.js').Remote | undefined} who */
function describe(who) {
  if (!who) return undefined;
  const now = performance.now();
  const at = performance.timeOrigin + now;
  return { id: who.id, ...who.drawn(now), state: who.state(now), facing: who.facing, at };
}
