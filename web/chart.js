/**
 * A chart of samples over time, with values on its axis. A cursor shows the values at one time: by mouse, touch, or arrow keys.
 *
 * @module chart
 */

import { prefixOf, SECONDS_KEPT, short } from './history.js';

/** @import { Sample } from './history.js' */

/** Shortest time range of a chart, in seconds. */
const SECONDS_SHOWN_MIN = 60;

/** Maximum number of intervals between two values on the axis. */
const INTERVALS_MAX = 4;

/** Pixels above the plot, below it for the times, and between a value and the plot. */
const ABOVE_PX = 7;
const BELOW_PX = 18;
const GAP_PX = 6;

/**
 * @typedef {[name: string, of: (sample: Sample) => number]} Line
 */

/**
 * What a chart shows.
 * @typedef {object} Content
 * @property {string} title
 * @property {string} unit
 * @property {Line[]} lines One or two.
 * @property {Sample[]} samples
 * @property {{ at: number, name: string }} [mark] A horizontal line.
 * @property {number} [cursorAt] Time of the cursor, in milliseconds of the page's clock.
 */

/**
 * Returns the round values on an axis from 0 up to at least `highest`.
 * @param {number} highest
 * @param {boolean} isWhole Without fractions.
 */
export function axis(highest, isWhole) {
  const top = highest > 0 ? highest : 1;
  const power = 10 ** Math.floor(Math.log10(top / INTERVALS_MAX));
  const fitting = [1, 2, 5, 10].map((factor) => factor * power).find((step) => step * INTERVALS_MAX >= top) ?? 10 * power;
  const step = isWhole ? Math.max(fitting, 1) : fitting;
  // The tolerance keeps 0.3 / 0.1 from being a little more than 3.
  const count = Math.ceil(top / step - 1e-9);
  return Array.from({ length: count + 1 }, (_, n) => n * step);
}

/**
 * Formats the values on an axis: all with the prefix that `short` gives the highest one, without zeros after the point.
 * @param {number[]} values
 * @param {string} unit
 */
export function axisTexts(values, unit) {
  const { size, prefix } = prefixOf(Math.max(...values));
  const text = (/** @type {number} */ value) => (value / size).toLocaleString('en', { maximumSignificantDigits: 3 });
  return values.map((value) => `${text(value)} ${prefix}${unit}`.trimEnd());
}

/**
 * Formats a time before the present.
 * @param {number} seconds
 */
const ago = (seconds) =>
  seconds < 1 ? 'now' : seconds < 120 ? `${Math.round(seconds)} s ago` : `${Math.round(seconds / 60)} min ago`;

/**
 * Returns the index of the sample nearest to a time; -1 without samples.
 * @param {{ at: number }[]} samples
 * @param {number} at
 */
export function nearest(samples, at) {
  const after = samples.findIndex((sample) => sample.at >= at);
  if (after < 0) return samples.length - 1;
  return after > 0 && at - samples[after - 1].at < samples[after].at - at ? after - 1 : after;
}

/**
 * Where a chart draws: the edges of the plot in pixels, and the time range between them, in milliseconds.
 * @typedef {{ left: number, right: number, bottom: number, from: number, to: number, top: number }} Plot `top`: highest value.
 */

/** @type {(plot: Plot, at: number) => number} */
const xOf = ({ left, right, from, to }, at) => left + ((at - from) / (to - from)) * (right - left);

/** @type {(plot: Plot, value: number) => number} */
const yOf = ({ bottom, top }, value) => bottom - (value / top) * (bottom - ABOVE_PX);

/** A canvas with its legend. */
export class Chart {
  /** @type {Content | undefined} */
  #content;
  /** @type {Plot} */
  #plot = { left: 0, right: 1, bottom: 1, from: 0, to: 1, top: 1 };

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLElement[]} legend One element per line.
   * @param {(at: number | undefined) => void} onCursor The visitor has moved the cursor to this time, or has removed it.
   */
  constructor(canvas, legend, onCursor) {
    this.canvas = canvas;
    this.legend = legend;
    this.onCursor = onCursor;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
    // A slider receives arrow keys from screen readers too, and has a text for each of its positions.
    canvas.setAttribute('role', 'slider');
    canvas.tabIndex = 0;
    const point = (/** @type {PointerEvent} */ { offsetX }) => {
      const { left, right, from, to } = this.#plot;
      onCursor(from + ((offsetX - left) / (right - left)) * (to - from));
    };
    canvas.addEventListener('pointerdown', point);
    canvas.addEventListener('pointermove', point);
    // A finger that has left the screen leaves the cursor.
    canvas.addEventListener('pointerleave', ({ pointerType }) => pointerType === 'mouse' && onCursor(undefined));
    canvas.addEventListener('blur', () => onCursor(undefined));
    canvas.addEventListener('keydown', (event) => this.#press(event));
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    const { samples, cursorAt } = this.#content ?? { samples: [] };
    if (event.key === 'Escape') return this.onCursor(undefined);
    const now = cursorAt === undefined ? samples.length : nearest(samples, cursorAt);
    const keys = new Map([['ArrowLeft', now - 1], ['ArrowRight', now + 1], ['Home', 0], ['End', samples.length - 1]]);
    const next = keys.get(event.key);
    if (next === undefined || samples.length === 0) return;
    event.preventDefault();
    this.onCursor(samples[Math.min(Math.max(next, 0), samples.length - 1)].at);
  }

  /**
   * Draws the chart up to the present.
   * @param {Content} content
   * @param {number} now
   */
  draw(content, now) {
    this.#content = content;
    const { lines, samples, mark, cursorAt } = content;
    const { canvas, context } = this;
    const ratio = devicePixelRatio || 1;
    [canvas.width, canvas.height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.round(side * ratio));
    context.scale(ratio, ratio);
    context.font = '11px system-ui, sans-serif';
    const style = getComputedStyle(canvas);
    const color = (/** @type {string} */ name) => style.getPropertyValue(`--${name}`);

    const values = lines.map(([, of]) => samples.map(of));
    this.#drawAxis(content, Math.max(mark?.at ?? 0, ...values.flat(), 0), now, color);
    if (mark) this.#drawMark(mark, color('bad'));
    const colors = [color('first'), color('second')];
    values.forEach((line, n) => {
      context.strokeStyle = colors[n];
      context.lineWidth = 1.5;
      context.beginPath();
      line.forEach((value, i) => context.lineTo(xOf(this.#plot, samples[i].at), yOf(this.#plot, value)));
      context.stroke();
    });

    const index = cursorAt === undefined ? samples.length - 1 : nearest(samples, cursorAt);
    const shown = values.map((line) => line[index] ?? 0);
    const when = ago((now - (samples[index]?.at ?? now)) / 1000);
    if (cursorAt === undefined || index < 0) {
      this.#drawTimes(now, color('dim'));
    } else {
      this.#drawCursor(samples[index].at, shown, colors, color('dim'));
      this.#drawTime(when, samples[index].at, color('ink'));
    }
    this.#describe(content, values.map((line) => line.at(-1) ?? 0), { shown, when, index });
  }

  /**
   * Draws values on the axis and determines the plot beside them.
   * @param {Content} content
   * @param {number} highest
   * @param {number} now
   * @param {(name: string) => string} color
   */
  #drawAxis({ unit, samples }, highest, now, color) {
    const { canvas, context } = this;
    const values = axis(highest, unit === '');
    const texts = axisTexts(values, unit);
    const left = Math.ceil(Math.max(...texts.map((text) => context.measureText(text).width))) + GAP_PX;
    const kept = (now - (samples[0]?.at ?? now)) / 1000;
    const span = Math.min(Math.max(kept, SECONDS_SHOWN_MIN), SECONDS_KEPT);
    const [right, bottom] = [canvas.clientWidth - 4, canvas.clientHeight - BELOW_PX];
    this.#plot = { left, right, bottom, from: now - span * 1000, to: now, top: values.at(-1) ?? 1 };
    context.fillStyle = color('dim');
    context.strokeStyle = color('line');
    context.textAlign = 'right';
    context.textBaseline = 'middle';
    values.forEach((value, n) => {
      const y = yOf(this.#plot, value);
      this.#rule(left, y, right, y);
      context.fillText(texts[n], left - GAP_PX, y);
    });
    context.textBaseline = 'alphabetic';
  }

  /**
   * @param {{ at: number, name: string }} mark
   * @param {string} color
   */
  #drawMark(mark, color) {
    const { context } = this;
    const { left, right } = this.#plot;
    const y = yOf(this.#plot, mark.at);
    context.strokeStyle = context.fillStyle = color;
    context.setLineDash([4, 4]);
    this.#rule(left, y, right, y);
    context.setLineDash([]);
    // Above the line, unless the canvas ends there.
    context.fillText(mark.name, right, y > 20 ? y - 4 : y + 12);
  }

  /**
   * @param {number} at
   * @param {number[]} values
   * @param {string[]} colors
   * @param {string} lineColor
   */
  #drawCursor(at, values, colors, lineColor) {
    const { context } = this;
    const x = xOf(this.#plot, at);
    context.strokeStyle = lineColor;
    context.lineWidth = 1;
    this.#rule(x, ABOVE_PX, x, this.#plot.bottom);
    values.forEach((value, n) => {
      context.fillStyle = colors[n];
      context.beginPath();
      context.arc(x, yOf(this.#plot, value), 3, 0, 2 * Math.PI);
      context.fill();
    });
  }

  /**
   * @param {number} now
   * @param {string} color
   */
  #drawTimes(now, color) {
    const { from } = this.#plot;
    this.#drawTime(ago((now - from) / 1000), from, color);
    this.#drawTime('now', now, color);
  }

  /**
   * Draws a time below the plot.
   * @param {string} text
   * @param {number} at
   * @param {string} color
   */
  #drawTime(text, at, color) {
    const { context } = this;
    const { left, right } = this.#plot;
    const half = context.measureText(text).width / 2;
    context.fillStyle = color;
    context.textAlign = 'center';
    context.fillText(text, Math.min(Math.max(xOf(this.#plot, at), left + half), right - half), this.canvas.clientHeight - 3);
  }

  /**
   * Writes the values at the cursor, or else the last ones, into the legend, and describes the chart to screen readers.
   * @param {Content} content
   * @param {number[]} latest
   * @param {{ shown: number[], when: string, index: number }} cursor
   */
  #describe({ title, unit, lines, samples }, latest, { shown, when, index }) {
    const texts = (/** @type {number[]} */ values) => lines.map(([name], n) => `${name} ${short(values[n], unit)}`);
    texts(shown).forEach((text, n) => { this.legend[n].textContent = text; });
    const attributes = {
      'aria-label': `${title}: ${texts(latest).join(', ')}`,
      'aria-valuemin': 0,
      'aria-valuemax': Math.max(samples.length - 1, 0),
      'aria-valuenow': Math.max(index, 0),
      'aria-valuetext': `${when}: ${texts(shown).join(', ')}`,
    };
    for (const [name, value] of Object.entries(attributes)) this.canvas.setAttribute(name, String(value));
  }

  /**
   * @param {number} fromX
   * @param {number} fromY
   * @param {number} toX
   * @param {number} toY
   */
  #rule(fromX, fromY, toX, toY) {
    const { context } = this;
    context.beginPath();
    context.moveTo(fromX, fromY);
    context.lineTo(toX, toY);
    context.stroke();
  }
}
