// Leads on paper: an SVG whose unit is a millimetre, so that 25 mm of it are a second and 10 mm a millivolt.

const LIMB = ["I", "II", "III", "aVR", "aVL", "aVF"];
const CHEST = ["V1", "V2", "V3", "V4", "V5", "V6"];
// V4R and V3R stand where they lie on the chest: to the right of V1.
const ORDER = [...LIMB, "V5R", "V4R", "V3R", ...CHEST, "V7", "V8", "V9"];

// Columns of leads; a minus turns a lead (Cabrera). The rhythm strip has lead II over the whole time.
export const LAYOUTS = {
  "3x4": { columns: [LIMB.slice(0, 3), LIMB.slice(3), CHEST.slice(0, 3), CHEST.slice(3)], rhythm: true },
  "6x2": { columns: [LIMB, CHEST], rhythm: false },
  "12x1": { columns: null, rhythm: false },
  cabrera: { columns: [["aVL", "I", "-aVR", "II", "aVF", "III"], CHEST], rhythm: false },
  paediatric: {
    columns: [LIMB.slice(0, 3), LIMB.slice(3), ["V4R", "V3R", "V1"], ["V2", "V3", "V4"], ["V5", "V6", "V7"]],
    rhythm: true,
  },
};
const SECONDS = 10;
const LEFT = 12, TOP = 4, BOTTOM = 3, SQUARE = 5;
const LEAST_ABOVE = 8, LEAST_BELOW = 5, MOST_ROW = 45;
// What sticks out at the top and the bottom has room up to here; what is taller than a sheet is no heart's.
const MOST_EDGE = 250;
// An unfit gain is halved so often until all of a trace has room in print.
const MOST_HALVINGS = 20;
// More points in a millimetre than any screen or printer shows only make the drawing slow.
const POINTS_PER_MM = 20;

// The recording of a view, with a Float32Array of millivolts for each lead.
export function decoded(recording) {
  const bytes = Uint8Array.from(atob(recording.signal), (letter) => letter.charCodeAt(0));
  const data = new DataView(bytes.buffer);
  const signal = new Map();
  recording.leads.forEach((lead, row) => {
    const values = new Float32Array(recording.samples);
    for (let i = 0; i < values.length; i++) values[i] = data.getFloat32(4 * (row * recording.samples + i), true);
    signal.set(lead, values);
  });
  return { ...recording, signal };
}

// What stands where: {lead, name, sign, row, column, from, to} with times in seconds from the start of the recording.
export function strips(recording, layout, start) {
  const { columns, rhythm } = LAYOUTS[layout];
  const sent = recording.samples / recording.rate_hz;
  const seconds = Math.min(SECONDS, Math.max(0, recording.start_s + sent - start));
  const present = [...ORDER.filter((lead) => recording.signal.has(lead)),
    ...recording.leads.filter((lead) => !ORDER.includes(lead))];
  if (!columns) return present.map((lead, row) => strip(lead, row, 0, start, start + seconds));
  const each = seconds / columns.length, made = [];
  columns.forEach((leads, column) => leads.forEach((lead, row) =>
    made.push(strip(lead, row, column, start + column * each, start + (column + 1) * each))));
  const shown = new Set(made.map((one) => one.lead));
  let row = columns[0].length;
  const further = present.filter((lead) => !shown.has(lead));
  further.forEach((lead, number) => {
    const column = number % columns.length;
    made.push(strip(lead, row + Math.floor(number / columns.length), column, start + column * each, start + (column + 1) * each));
  });
  row += Math.ceil(further.length / columns.length);
  const long = recording.signal.has("II") ? "II" : present[0];
  if (rhythm && long) made.push({ ...strip(long, row, 0, start, start + seconds), isRhythm: true });
  return made;
}

function strip(name, row, column, from, to) {
  const turned = name.startsWith("-");
  return { name: name.replace("-", "−"), lead: turned ? name.slice(1) : name, sign: turned ? -1 : 1, row, column, from, to, isRhythm: false };
}

// Index of the sample nearest to a time, and the time of a sample; both count from the start of the recording.
export const sampleAt = (recording, seconds) => Math.round((seconds - recording.start_s) * recording.rate_hz);
export const timeOf = (recording, sample) => recording.start_s + sample / recording.rate_hz;

export function median(values) {
  const known = values.filter((value) => !Number.isNaN(value)).sort();
  return known.length ? known[known.length >> 1] : 0;
}

// Draws a recording and returns where everything is: {strips, width, height, speed, gain, recording}.
// Each strip then also has x, y (of its baseline), top, height and base (the millivolts at the baseline); isCut says that
// some of the trace lies beyond the paper.
export function draw(svg, recording, { layout, start, speed, gain, scale, words, beats, mostRow }) {
  const placed = strips(recording, layout, start);
  const bases = new Map([...recording.signal].map(([lead, values]) => [lead, median(values)]));
  const { heights, isCut } = rowHeights(recording, placed, bases, gain, mostRow || MOST_ROW);
  const seconds = Math.max(...placed.map((one) => one.to)) - start || 1;
  const width = Math.ceil((LEFT + seconds * speed + 3) / SQUARE) * SQUARE;
  const tops = [];
  let height = TOP;
  for (const [above, below] of heights) { tops.push(height); height += above + below; }
  height = Math.ceil((height + BOTTOM) / SQUARE) * SQUARE;
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("width", `${width * scale}mm`);
  svg.setAttribute("height", `${height * scale}mm`);
  const grid = `grid-${svg.id}`;
  svg.append(gridOf(grid), node("rect", { class: "ground", width, height }), node("rect", { width, height, fill: `url(#${grid})` }));
  for (const one of placed) {
    const [above, below] = heights[one.row];
    Object.assign(one, {
      x: LEFT + (one.from - start) * speed, top: tops[one.row], y: tops[one.row] + above, height: above + below,
      base: bases.get(one.lead) ?? 0,
    });
    const name = node("text", { class: "lead", x: one.x + 1, y: one.top + 3.5 });
    name.textContent = one.name;
    svg.append(name);
    if (one.column) svg.append(node("path", { class: "tick", d: `M${one.x} ${one.y - 2.5}v5` }));
    if (recording.signal.has(one.lead)) {
      svg.append(node("path", { class: "trace", d: pathOf(recording, one, speed, gain), "data-lead": one.name }));
    } else {
      const absent = node("text", { class: "absent-lead", x: one.x + 1, y: one.y });
      absent.textContent = words.not_recorded;
      svg.append(absent);
    }
  }
  heights.forEach(([above], row) => svg.append(pulse(tops[row] + above, speed, gain)));
  const last = placed[placed.length - 1];
  for (const beat of beats || []) {
    if (beat >= last.from && beat < last.to) {
      svg.append(node("path", { class: "beat", d: `M${LEFT + (beat - start) * speed} ${height - 1}l-.8 -1.4h1.6z` }));
    }
  }
  return { strips: placed, width, height, speed, gain, recording, start, isCut };
}

// Draws what is printed: the gain is halved until all of it has room in a height.
export function drawWithin(svg, recording, mostHeight, how) {
  const rows = 1 + Math.max(...strips(recording, how.layout, how.start).map((one) => one.row));
  let paper, { gain } = how;
  for (let halved = 0; halved <= MOST_HALVINGS; halved++, gain /= 2) {
    paper = draw(svg, recording, { ...how, gain, mostRow: mostHeight / rows });
    if (!paper.isCut && paper.height <= mostHeight + TOP + BOTTOM + SQUARE) break;
  }
  return paper;
}

export function node(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function gridOf(id) {
  const pattern = node("pattern", { id, width: SQUARE, height: SQUARE, patternUnits: "userSpaceOnUse" });
  let fine = "";
  for (let i = 1; i < SQUARE; i++) fine += `M${i} 0V${SQUARE}M0 ${i}H${SQUARE}`;
  pattern.append(node("path", { class: "fine", d: fine }), node("path", { class: "bold", d: `M0 0V${SQUARE}M0 0H${SQUARE}` }));
  const defs = node("defs", {});
  defs.append(pattern);
  return defs;
}

function rowHeights(recording, placed, bases, gain, most) {
  const rows = [];
  for (const one of placed) {
    const found = rows[one.row] ??= [LEAST_ABOVE, LEAST_BELOW];
    const values = recording.signal.get(one.lead);
    if (!values) continue;
    const [first, last] = range(recording, one);
    for (let i = first; i <= last; i++) {
      const up = one.sign * (values[i] - bases.get(one.lead)) * gain;
      if (up + 3 > found[0]) found[0] = up + 3;
      if (-up + 1 > found[1]) found[1] = -up + 1;
    }
  }
  // Rows that are too tall may reach into each other, as on any cart's paper, but not beyond its edges.
  const heights = rows.map(([above, below], row) => {
    const share = Math.min(1, most / (above + below));
    return [
      row === 0 ? Math.min(above, MOST_EDGE) : above * share,
      row === rows.length - 1 ? Math.min(below, MOST_EDGE) : below * share,
    ];
  });
  const reach = heights.reduce((sum, [above, below]) => sum + above + below, 0);
  let top = 0, isCut = false;
  heights.forEach(([above, below], row) => {
    isCut ||= rows[row][0] > top + above + TOP || rows[row][1] > reach - top - above + BOTTOM;
    top += above + below;
  });
  return { heights, isCut };
}

function range(recording, one) {
  const first = Math.max(0, Math.ceil((one.from - recording.start_s) * recording.rate_hz - 1e-6));
  const last = Math.min(recording.samples - 1, Math.floor((one.to - recording.start_s) * recording.rate_hz + 1e-6));
  return [first, last];
}

// Where a sample of a strip lies on the paper, in millimetres.
export function place(paper, one, sample) {
  const { recording, speed, gain } = paper;
  const value = recording.signal.get(one.lead)[sample];
  return [one.x + (timeOf(recording, sample) - one.from) * speed, one.y - one.sign * (value - one.base) * gain];
}

function pathOf(recording, one, speed, gain) {
  const values = recording.signal.get(one.lead);
  const [first, last] = range(recording, one);
  const bucket = Math.max(1, Math.floor((2 * recording.rate_hz) / speed / POINTS_PER_MM));
  let path = "", pen = false;
  const point = (i) => {
    if (Number.isNaN(values[i])) { pen = false; return; }
    const x = one.x + (timeOf(recording, i) - one.from) * speed;
    const y = one.y - one.sign * (values[i] - one.base) * gain;
    path += `${pen ? "L" : "M"}${x.toFixed(2)} ${y.toFixed(2)}`;
    pen = true;
  };
  for (let i = first; i <= last; i += bucket) {
    if (bucket < 3) { for (let k = i; k < Math.min(i + bucket, last + 1); k++) point(k); continue; }
    // Of many samples the lowest and the highest, in their order: they look the same. Where some are missing, all of them.
    const end = Math.min(i + bucket, last + 1);
    let low = i, high = i, isWhole = true;
    for (let k = i; k < end; k++) {
      if (Number.isNaN(values[k])) isWhole = false;
      if (values[k] < values[low]) low = k;
      if (values[k] > values[high]) high = k;
    }
    if (isWhole) { point(Math.min(low, high)); point(Math.max(low, high)); } else for (let k = i; k < end; k++) point(k);
  }
  return path;
}

function pulse(y, speed, gain) {
  const wide = Math.min(0.2 * speed, LEFT - 5);
  return node("path", { class: "pulse", d: `M1 ${y}h2v${-gain}h${wide}v${gain}h2` });
}
