// Two ends on one lead that lie on samples: milliseconds, rate and millivolts between them.

import { node, place, sampleAt, timeOf } from "./paper.js";

// A touch that moves less than this is a tap; one that moves more scrolls.
const TAP_PX = 10;
// So far apart are the ends that a key places.
const PLACED_S = 0.4;

export class Calipers {
  // svg: the paper; onChange is called with {lead, ms, rate, mv} or null. mv is null where amplitudes are unknown.
  constructor(svg, onChange) {
    this.svg = svg;
    this.onChange = onChange;
    this.paper = null;
    this.clear();
    svg.addEventListener("pointerdown", (event) => this.#begin(event));
    svg.addEventListener("pointermove", (event) => this.#drag(event));
    svg.addEventListener("pointerup", (event) => this.#end(event));
    svg.addEventListener("pointercancel", () => { this.dragging = false; this.touched = null; });
  }

  // After the paper was drawn anew: the ends stay where they are in time, if that is still shown of that lead. Those on
  // the rhythm strip stay there; of another recording nothing was measured.
  on(paper, owner) {
    const before = this.strip && this.owner === owner ? this.strip : null;
    const times = this.strip ? this.ends.map((end) => timeOf(this.paper.recording, end)) : [];
    this.paper = paper;
    this.owner = owner;
    const alike = (one) => Number(one.isRhythm === before.isRhythm) + Number(one.sign === before.sign);
    this.strip = before && paper.strips
      .filter((one) => one.lead === before.lead && times.every((time) => one.from <= time && time <= one.to))
      .sort((a, b) => alike(b) - alike(a))[0];
    if (this.strip) { this.ends = times.map((time) => this.#within(sampleAt(paper.recording, time))); this.#draw(); } else this.clear();
  }

  clear() {
    this.strip = null;
    this.ends = [0, 0];
    this.active = 1;
    this.dragging = false;
    this.touched = null;
    this.#draw();
  }

  // Places them in the middle of the next lead, or of the first.
  next() {
    const shown = this.paper?.strips.filter((one) => this.paper.recording.signal.has(one.lead)) ?? [];
    if (!shown.length) return;
    const strip = shown[(shown.indexOf(this.strip) + 1) % shown.length], middle = (strip.from + strip.to) / 2;
    this.strip = strip;
    this.ends = [-1, 1].map((side) => this.#within(sampleAt(this.paper.recording, middle + (side * PLACED_S) / 2)));
    this.active = 1;
    this.#draw();
  }

  get isSet() { return Boolean(this.strip); }

  other() { this.active = 1 - this.active; this.#draw(); }

  // Moves the active end by some samples.
  move(samples) {
    if (!this.strip) return;
    this.ends[this.active] = this.#within(this.ends[this.active] + samples);
    this.#draw();
  }

  #within(sample) {
    const { recording } = this.paper;
    const first = Math.max(0, Math.ceil((this.strip.from - recording.start_s) * recording.rate_hz - 1e-6));
    const last = Math.min(recording.samples - 1, Math.floor((this.strip.to - recording.start_s) * recording.rate_hz + 1e-6));
    return Math.min(last, Math.max(first, sample));
  }

  #point(event) {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.svg.getScreenCTM().inverse());
    return [at.x, at.y];
  }

  #sample(x) {
    return this.#within(sampleAt(this.paper.recording, this.strip.from + (x - this.strip.x) / this.paper.speed));
  }

  #stripAt([x, y]) {
    return this.paper.strips.find((one) => this.paper.recording.signal.has(one.lead) &&
      y >= one.top && y < one.top + one.height && x >= one.x && x <= one.x + (one.to - one.from) * this.paper.speed);
  }

  #begin(event) {
    if (!this.paper || event.button > 0) return;
    // A finger that moves scrolls the paper: what it does is known when it is lifted.
    if (event.pointerType === "touch") { this.touched = [event.clientX, event.clientY]; return; }
    const point = this.#point(event), strip = this.#stripAt(point);
    if (!strip) return;
    this.strip = strip;
    this.ends = [this.#sample(point[0]), this.#sample(point[0])];
    this.active = 1;
    this.dragging = true;
    this.svg.setPointerCapture(event.pointerId);
    this.#draw();
  }

  #drag(event) {
    if (!this.dragging) return;
    this.ends[1] = this.#sample(this.#point(event)[0]);
    this.#draw();
  }

  #end(event) {
    if (event.pointerType === "touch") this.#tap(event);
    this.#drag(event);
    this.dragging = false;
  }

  // The first tap sets both ends, a second one in that lead the other end, a third one begins again.
  #tap(event) {
    const from = this.touched;
    this.touched = null;
    if (!from || !this.paper || Math.hypot(event.clientX - from[0], event.clientY - from[1]) > TAP_PX) return;
    const point = this.#point(event), strip = this.#stripAt(point);
    if (!strip) return;
    const isSecond = strip === this.strip && this.ends[0] === this.ends[1];
    this.strip = strip;
    const sample = this.#sample(point[0]);
    this.ends = isSecond ? [this.ends[0], sample] : [sample, sample];
    this.active = 1;
    this.#draw();
  }

  #draw() {
    this.svg.querySelector(".calipers")?.remove();
    if (!this.strip) { this.onChange(null); return; }
    const { recording } = this.paper, group = node("g", { class: "calipers" });
    const points = this.ends.map((sample) => place(this.paper, this.strip, sample));
    points.forEach(([x, y], end) => {
      group.append(node("path", { class: end === this.active ? "end active" : "end", d: `M${x} ${this.strip.top}v${this.strip.height}` }));
      if (!Number.isNaN(y)) group.append(node("circle", { cx: x, cy: y, r: 0.7 }));
    });
    const level = this.strip.top + this.strip.height - 1;
    group.append(node("path", { class: "span", d: `M${points[0][0]} ${level}H${points[1][0]}` }));
    this.svg.append(group);
    const values = recording.signal.get(this.strip.lead), [a, b] = this.ends;
    const ms = ((b - a) / recording.rate_hz) * 1000;
    this.onChange({
      lead: this.strip.name, ms, rate: ms ? 60000 / Math.abs(ms) : NaN,
      mv: recording.amplitude_known ? this.strip.sign * (values[b] - values[a]) : null, ends: [a, b],
    });
  }
}
