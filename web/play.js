/**
 * The game in the browser: connects the modules for connection, input, world and scene.
 *
 * @module play
 */

import { Bots } from './bots.js';
import { Connection, gameAddress } from './connection.js';
import { Input } from './input.js';
import { element, Panels } from './panels.js';
import { Population } from './population.js';
import { Rulebook } from './rules.js';
import { Scene } from './scene.js';
import { World } from './world.js';

/** @import { Part, ServerMessage } from './protocol.js' */
/** @import { Status } from './connection.js' */

/** Interval between MOVEs of a standing player, in milliseconds: their acks measure the ping. */
const STANDING_MS = 2_000;

/** Maximum number of steps made up after a slow frame. */
const STEPS_AT_ONCE_MAX = 3;

/** Interval between two updates of the figures, in milliseconds. */
const FIGURES_MS = 500;

/** Delay from the last resize to the VIEWPORT message, in milliseconds. */
const RESIZE_MS = 150;

class Play {
  world = new World();
  scene = new Scene(element('scene'));
  bots = new Bots(gameAddress(), () => this.world.rules, () => this.#rulebook.botsMax);
  #population = new Population();
  #rulebook = new Rulebook((failure) => this.#obey(failure));
  /** Bots that the address of the page requests. They wait for the rules, which limit their number. */
  #botsWanted = Number(new URLSearchParams(location.search).get('bots')) || 0;
  #stepAt = performance.now();
  #toldAt = -Infinity;
  #attackUntil = -Infinity;
  #frames = 0;
  #figuresAt = performance.now();
  #motion = matchMedia('(prefers-reduced-motion: reduce)');

  constructor() {
    this.panels = new Panels({ retry: () => this.connection.retry(), addBots: (count) => this.bots.add(count) });
    this.input = new Input(this.scene.canvas, { attack: () => this.attack(), aim: (x) => this.aim(x) });
    this.connection = new Connection({
      address: gameAddress(),
      onOpen: () => this.#begin(),
      onMessage: (message) => this.#receive(message),
      onStatus: (status) => this.#show(status),
    });
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    new ResizeObserver(() => {
      this.scene.resize();
      clearTimeout(timer);
      timer = setTimeout(() => this.#tellViewport(), RESIZE_MS);
    }).observe(this.scene.canvas);
    // The page may miss the release of a key while it is hidden, so the player stops.
    document.addEventListener('visibilitychange', () => document.hidden && this.#stop());
    requestAnimationFrame((now) => this.#frame(now));
  }

  /** Starts an attack, unless one is in progress. */
  attack() {
    const now = performance.now();
    const { own } = this.world;
    if (!own || now < this.#attackUntil || !this.#mayAct) return;
    this.#attackUntil = now + this.world.rules.attackMs;
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

  /** Whether the server would understand an action as the page does: it is connected, and its rules are known or assumed. */
  get #mayAct() {
    return this.connection.isOpen && this.#rulebook.isSettled;
  }

  /** Resets the state for a new connection, with a new player. */
  #begin() {
    this.world = new World(this.#rulebook.rules);
    this.#rulebook.begin();
    this.#population.forget();
    this.#toldAt = -Infinity;
    this.#attackUntil = -Infinity;
    this.#tellViewport();
  }

  /** @param {ServerMessage} message */
  #receive(message) {
    const [now, corrections] = [performance.now(), this.world.own?.corrections ?? 0];
    this.world.receive(message, now);
    if (this.world.own && this.world.own.corrections > corrections) this.#rulebook.doubt(now);
  }

  /** @param {Error | undefined} failure Why the rules are unknown. */
  #obey(failure) {
    const { rules } = this.#rulebook;
    this.world.obey(rules, performance.now());
    this.panels.showRules(rules, failure);
    if (failure) return;
    this.panels.showBotsMax(this.#rulebook.botsMax);
    this.bots.add(this.#botsWanted);
    this.#botsWanted = 0;
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
    this.panels.showWait(now);
  }

  /**
   * Ends an attack that is over, and makes the steps that are due.
   * @param {number} now
   */
  #live(now) {
    const { own, rules } = this.world;
    if (!own || !this.#mayAct) return void (this.#stepAt = now);
    if (this.#attackUntil > -Infinity && now >= this.#attackUntil) {
      this.#attackUntil = -Infinity;
      this.connection.send({ type: 'attackEnd' });
    }
    const { stepMs } = rules;
    if (now - this.#stepAt > STEPS_AT_ONCE_MAX * stepMs) this.#stepAt = now - stepMs;
    for (; now - this.#stepAt >= stepMs; this.#stepAt += stepMs) {
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
    if (status.is !== 'open') this.#rulebook.end();
    this.panels.showStatus(status, performance.now());
  }

  /** @param {number} now */
  #showFigures(now) {
    const framesPerS = (this.#frames * 1000) / (now - this.#figuresAt);
    [this.#frames, this.#figuresAt] = [0, now];
    this.panels.showFigures({ pingMs: this.world.own?.pingMs, framesPerS, bots: this.bots });
  }

  /**
   * Shows the players in view and on the server. Before the first GAME_STATE the server may not count the own player.
   * @param {number} now
   */
  #showPlayers(now) {
    const isIn = this.world.own !== undefined && this.connection.isOpen;
    const inView = isIn ? this.world.remotes.size + 1 : undefined;
    if (inView !== undefined) this.#population.follow(inView, () => performance.now());
    const known = Math.max(inView ?? 0, this.bots.connected + 1);
    const players = inView === undefined ? undefined : this.#population.count(known, now);
    if (isIn) this.panels.joined();
    this.panels.showPlayers(inView, players);
  }
}

const play = new Play();

/** For tests and debugging: the drawn players and their positions. */
Object.assign(globalThis, {
  pixiGame: {
    own: () => describe(play.world.own),
    others: () => [...play.world.remotes.values()].map(describe),
    corrections: () => play.world.own?.corrections,
    rules: () => play.world.rules,
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
