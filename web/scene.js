/**
 * Draws the scene: ground, characters, attacks, names, minimap. The camera follows the own player.
 *
 * @module scene
 */

import { drawAttack } from './effects.js';
import { Sprites } from './sprites.js';

/** @import { Rules } from './rules.js' */
/** @import { World } from './world.js' */

/** Maximum number of units along the longer side of the screen. */
const UNITS_SHOWN_MAX = 1100;

/** Minimum number of CSS pixels per unit, so that characters are not too small. */
const PX_PER_UNIT_MIN = 0.9;

/** Maximum number of names, shown for the nearest players. More would be unreadable. */
const NAMES_MAX = 60;

/** Smallest and largest side of a VIEWPORT message, in units. */
const VIEWPORT_UNITS = [100, 0xffff];

const TILE_UNITS = 100;
const MINIMAP_PX = 148;
const MINIMAP_MARGIN_PX = 12;

/** Interval between two redraws of the minimap, in milliseconds. */
const MINIMAP_MS = 100;

/** Time constant of the camera, in milliseconds: the camera covers about two thirds of its distance in this time. */
const CAMERA_MS = 120;

const COLOURS = {
  outside: '#0b0f18',
  light: '#1d2a38',
  dark: '#1a2532',
  border: '#5b7899',
  name: '#dfe8f2',
  ownName: '#ffd866',
};

/**
 * Returns the players whose names are drawn: the nearest ones, in drawing order. The own name is the last, on top of the others.
 * @template {{ x: number, y: number, isOwn: boolean }} T
 * @param {T[]} figures
 * @param {{ x: number, y: number }} eye
 */
export function namesInOrder(figures, eye) {
  const others = figures.filter(({ isOwn }) => !isOwn);
  const own = figures.filter(({ isOwn }) => isOwn);
  if (others.length > NAMES_MAX) {
    const distance = (/** @type {T} */ { x, y }) => (x - eye.x) ** 2 + (y - eye.y) ** 2;
    const farthest = others.map((figure) => ({ figure, at: distance(figure) })).sort((a, b) => b.at - a.at);
    return [...farthest.slice(-NAMES_MAX).map(({ figure }) => figure), ...own];
  }
  return [...others, ...own];
}

/** Draws a world. */
export class Scene {
  #camera = { x: 0, y: 0, at: 0 };
  #pxPerUnit = 1;
  #ratio = 1;
  /** @type {Sprites | undefined} */
  #sprites;
  /** @type {Map<number, HTMLCanvasElement>} */
  #names = new Map();
  #minimap = document.createElement('canvas');
  #minimapAt = -Infinity;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d', { alpha: false }));
    this.resize();
  }

  /** Adapts to the canvas's size on the page. */
  resize() {
    const { clientWidth, clientHeight } = this.canvas;
    this.#ratio = Math.min(devicePixelRatio || 1, 2);
    this.canvas.width = Math.max(Math.round(clientWidth * this.#ratio), 1);
    this.canvas.height = Math.max(Math.round(clientHeight * this.#ratio), 1);
    this.#pxPerUnit = Math.max(Math.max(clientWidth, clientHeight) / UNITS_SHOWN_MAX, PX_PER_UNIT_MIN);
    const scale = this.#pxPerUnit * this.#ratio;
    if (this.#sprites?.scale !== scale) {
      this.#sprites = new Sprites(scale);
      this.#names.clear();
    }
    this.#minimapAt = -Infinity;
  }

  /** Size of the visible part of the world, in units, for the VIEWPORT message. */
  get viewport() {
    const [least, most] = VIEWPORT_UNITS;
    const units = (/** @type {number} */ px) => Math.min(Math.max(Math.ceil(px / this.#pxPerUnit), least), most);
    return { width: units(this.canvas.clientWidth), height: units(this.canvas.clientHeight) };
  }

  /** Horizontal position at which the own player is drawn, in CSS pixels from the left edge. */
  get ownX() {
    return this.canvas.clientWidth / 2;
  }

  /**
   * Draws the scene as of `now`.
   * @param {World} world
   * @param {number} now
   * @param {boolean} isStill Without animation and without a gliding camera.
   */
  draw(world, now, isStill) {
    const { context, canvas } = this;
    const scale = this.#pxPerUnit * this.#ratio;
    const own = world.own?.drawn(now);
    if (own) this.#follow(own, now, isStill);
    else if (this.#camera.at === 0) Object.assign(this.#camera, { x: world.rules.width / 2, y: world.rules.height / 2 });
    const left = this.#camera.x - canvas.width / 2 / scale;
    const top = this.#camera.y - canvas.height / 2 / scale;
    this.#drawGround(world.rules, left, top, scale);

    const figures = [];
    for (const remote of world.remotes.values()) {
      const { x, y } = remote.drawn(now);
      const state = remote.state(now);
      const since = now - (state === 'attacking' ? remote.attackedAt : remote.cameAt);
      figures.push({ id: remote.id, x, y, state, facing: remote.facing, since, isOwn: false });
    }
    if (world.own && own) {
      const state = world.own.state(now);
      const since = state === 'attacking' ? now - world.own.attackedAt : now;
      figures.push({ id: world.own.id, ...own, state, facing: world.own.facing, since, isOwn: true });
    }
    figures.sort((a, b) => a.y - b.y);
    const at = (/** @type {{ x: number, y: number }} */ { x, y }) => ({ x: (x - left) * scale, y: (y - top) * scale, scale });
    for (const figure of figures) {
      const { x, y } = at(figure);
      this.#sprites?.draw(context, figure, x, y, isStill);
    }
    for (const figure of figures) if (figure.state === 'attacking') drawAttack(context, figure, at(figure), isStill);
    this.#drawNames(figures, left, top, scale);
    this.#drawMinimap(world.rules, figures, { left, top, scale }, now);
  }

  /**
   * @param {{ x: number, y: number }} own
   * @param {number} now
   * @param {boolean} isStill
   */
  #follow(own, now, isStill) {
    const camera = this.#camera;
    const isFar = Math.hypot(own.x - camera.x, own.y - camera.y) > UNITS_SHOWN_MAX / 2;
    const part = isStill || isFar || camera.at === 0 ? 1 : 1 - Math.exp(-(now - camera.at) / CAMERA_MS);
    camera.x += (own.x - camera.x) * part;
    camera.y += (own.y - camera.y) * part;
    camera.at = now;
  }

  /**
   * @param {Readonly<Rules>} rules
   * @param {number} left
   * @param {number} top
   * @param {number} scale
   */
  #drawGround({ width, height }, left, top, scale) {
    const { context, canvas } = this;
    context.fillStyle = COLOURS.outside;
    context.fillRect(0, 0, canvas.width, canvas.height);
    const px = (/** @type {number} */ units, /** @type {number} */ from) => Math.round((units - from) * scale);
    context.fillStyle = COLOURS.dark;
    context.fillRect(px(0, left), px(0, top), Math.round(width * scale), Math.round(height * scale));
    context.fillStyle = COLOURS.light;
    const first = (/** @type {number} */ from) => Math.max(Math.floor(from / TILE_UNITS), 0);
    const last = (/** @type {number} */ from, /** @type {number} */ size, /** @type {number} */ side) =>
      Math.ceil(Math.min(from + size / scale, side) / TILE_UNITS);
    // The last tile ends with the world.
    const end = (/** @type {number} */ tile, /** @type {number} */ from, /** @type {number} */ side) =>
      px(Math.min((tile + 1) * TILE_UNITS, side), from);
    for (let column = first(left); column < last(left, canvas.width, width); column += 1) {
      for (let row = first(top); row < last(top, canvas.height, height); row += 1) {
        if ((column + row) % 2) continue;
        const [x, y] = [px(column * TILE_UNITS, left), px(row * TILE_UNITS, top)];
        context.fillRect(x, y, end(column, left, width) - x, end(row, top, height) - y);
      }
    }
    context.strokeStyle = COLOURS.border;
    context.lineWidth = 3 * this.#ratio;
    context.strokeRect(px(0, left), px(0, top), width * scale, height * scale);
  }

  /**
   * @param {{ id: number, x: number, y: number, isOwn: boolean }[]} figures
   * @param {number} left
   * @param {number} top
   * @param {number} scale
   */
  #drawNames(figures, left, top, scale) {
    const used = new Set();
    for (const figure of namesInOrder(figures, this.#camera)) {
      const name = this.#name(figure.id, figure.isOwn);
      used.add(figure.id);
      const [x, y] = [(figure.x - left) * scale - name.width / 2, (figure.y - top - 42) * scale - name.height];
      this.context.drawImage(name, Math.round(x), Math.round(y));
    }
    if (this.#names.size > NAMES_MAX * 4) {
      for (const id of this.#names.keys()) if (!used.has(id)) this.#names.delete(id);
    }
  }

  /**
   * Renders a name, once per player.
   * @param {number} id
   * @param {boolean} isOwn
   */
  #name(id, isOwn) {
    const known = this.#names.get(id);
    if (known) return known;
    const picture = document.createElement('canvas');
    const text = isOwn ? `You (${id})` : String(id);
    const font = `600 ${Math.round(11 * this.#ratio)}px system-ui, sans-serif`;
    const measure = /** @type {CanvasRenderingContext2D} */ (picture.getContext('2d'));
    measure.font = font;
    picture.width = Math.ceil(measure.measureText(text).width) + 6 * this.#ratio;
    picture.height = Math.ceil(15 * this.#ratio);
    const context = /** @type {CanvasRenderingContext2D} */ (picture.getContext('2d'));
    context.font = font;
    context.textBaseline = 'middle';
    context.textAlign = 'center';
    context.lineWidth = 3 * this.#ratio;
    context.strokeStyle = 'rgb(8 12 20 / 0.85)';
    context.strokeText(text, picture.width / 2, picture.height / 2);
    context.fillStyle = isOwn ? COLOURS.ownName : COLOURS.name;
    context.fillText(text, picture.width / 2, picture.height / 2);
    this.#names.set(id, picture);
    return picture;
  }

  /**
   * @param {Readonly<Rules>} rules
   * @param {{ id: number, x: number, y: number, isOwn: boolean }[]} figures
   * @param {{ left: number, top: number, scale: number }} shown
   * @param {number} now
   */
  #drawMinimap(rules, figures, shown, now) {
    const map = this.#minimap;
    if (now - this.#minimapAt >= MINIMAP_MS) {
      this.#minimapAt = now;
      const context = /** @type {CanvasRenderingContext2D} */ (map.getContext('2d'));
      const unit = (MINIMAP_PX * this.#ratio) / Math.max(rules.width, rules.height);
      // This also clears the map.
      [map.width, map.height] = [rules.width, rules.height].map((side) => Math.max(Math.round(side * unit), 1));
      context.fillStyle = 'rgb(8 12 20 / 0.75)';
      context.fillRect(0, 0, map.width, map.height);
      context.strokeStyle = 'rgb(255 255 255 / 0.35)';
      context.lineWidth = this.#ratio;
      const [width, height] = [this.canvas.width / shown.scale, this.canvas.height / shown.scale];
      context.strokeRect(shown.left * unit, shown.top * unit, width * unit, height * unit);
      const dot = 2 * this.#ratio;
      context.fillStyle = '#8fb7e8';
      for (const { x, y } of figures) context.fillRect(x * unit - dot / 2, y * unit - dot / 2, dot, dot);
      const own = figures.find(({ isOwn }) => isOwn);
      if (own) {
        context.fillStyle = COLOURS.ownName;
        context.fillRect(own.x * unit - dot, own.y * unit - dot, 2 * dot, 2 * dot);
      }
      context.strokeStyle = COLOURS.border;
      context.strokeRect(0, 0, map.width, map.height);
    }
    const margin = MINIMAP_MARGIN_PX * this.#ratio;
    this.context.drawImage(map, this.canvas.width - map.width - margin, this.canvas.height - map.height - margin);
  }
}
