// Two ends on one lead that lie on samples: milliseconds, rate and millivolts between them.

import { node, place, sampleAt, timeOf } from "./paper.js";

export class Calipers {
  // svg: the paper; onChange is called with {lead, ms, rate, mv} or null.
  constructor(svg, onChange) {
    this.svg = svg;
    this.onChange = onChange;
    this.paper = null;
    this.clear();
    svg.addEventListener("pointerdown", (event) => this.#begin(event));
    svg.addEventListener("pointermove", (event) => this.#drag(event));
    svg.addEventListener("pointerup", (event) => this.#drag(event, true));
  }

  // After the paper was drawn anew: the ends stay on their samples where their lead is still there.
  on(paper) {
    this.paper = paper;
    if (this.strip) {
      const time = timeOf(paper.recording, this.ends[0]);
      this.strip = paper.strips.find((one) => one.lead === this.strip.lead && one.from <= time && time <= one.to);
    }
    this.#draw();
  }

  clear() {
    this.strip = null;
    this.ends = [0, 0];
    this.active = 1;
    this.dragging = false;
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

  #begin(event) {
    if (!this.paper || event.button > 0) return;
    const [x, y] = this.#point(event);
    const strip = this.paper.strips.find((one) => this.paper.recording.signal.has(one.lead) &&
      y >= one.top && y < one.top + one.height && x >= one.x && x <= one.x + (one.to - one.from) * this.paper.speed);
    if (!strip) return;
    this.strip = strip;
    this.ends = [this.#sample(x), this.#sample(x)];
    this.active = 1;
    this.dragging = true;
    this.svg.setPointerCapture(event.pointerId);
    this.#draw();
  }

  #drag(event, isEnd = false) {
    if (!this.dragging) return;
    this.ends[1] = this.#sample(this.#point(event)[0]);
    this.dragging = !isEnd;
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
      mv: this.strip.sign * (values[b] - values[a]), ends: [a, b],
    });
  }
}
