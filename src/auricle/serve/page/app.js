// The page: what is open, how it is shown, and what was asked of the service. Files stay in this tab; nothing is kept.

import { Calipers } from "./calipers.js";
import * as panels from "./panels.js";
import { decoded, draw, drawWithin, node } from "./paper.js";

const $ = (id) => document.getElementById(id);
// Of an A4 page across, what the leads may take of its height.
const PRINTED_MM = 125;
const KEPT = ["layout", "speed", "gain", "zoom", "ruler", "language", "theme"];
const shown = { layout: "3x4", speed: "25", gain: "10", zoom: "1", ruler: "100", language: "en", theme: "" };
const recordings = []; // {name, files or watched, age, sex, gestation, start, view, trace, refused, error}
let current = null, previous = null, words = null, paper = null, turn = 0, comparing = 0;

const calipers = new Calipers($("paper"), (found) => {
  if (!words) return;
  const text = (value, digits) => (Number.isFinite(value) ? value.toFixed(digits) : "–");
  // The paper must not move away under the finger: a hint of several lines gives way to one line of the same height.
  if (!found) $("caliper").style.minHeight = "";
  else if (!$("caliper").classList.contains("set")) $("caliper").style.minHeight = `${$("caliper").offsetHeight}px`;
  $("caliper").classList.toggle("set", Boolean(found));
  $("caliper").textContent = found
    ? words.service[found.mv === null ? "measured_time" : "measured"].replace("{lead}", found.lead).replace("{ms}", text(found.ms, 1))
      .replace("{rate}", text(found.rate, 0)).replace("{mv}", text(found.mv, 3))
    : words.service.calipers_hint;
});

// ---- the service

async function ask(path, form) {
  let answer;
  try {
    answer = await fetch(path, form ? { method: "POST", body: form } : {});
  } catch {
    throw new Error(words ? words.service.gone : "The service cannot be reached.");
  }
  if (answer.status === 401 && path !== "/api/login") $("login").showModal();
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error || `HTTP ${answer.status}`);
  return answer;
}

function formOf(one, prefix = "", form = new FormData()) {
  if (one.watched) form.append(`${prefix}watched`, one.watched);
  for (const file of one.files || []) form.append(`${prefix}file`, file, file.name);
  for (const name of ["age", "sex", "gestation"]) form.append(`${prefix}${name}`, one[name] || "");
  form.set("language", shown.language);
  return form;
}

// ---- opening

// Files that belong to one recording: a WFDB header with the signal files of its name; anything else is one alone.
export function grouped(files) {
  const stem = (name) => name.replace(/\.[^.]*$/, "");
  const headers = files.filter((file) => /\.hea$/i.test(file.name));
  const taken = new Set(headers.map((file) => stem(file.name)));
  // A header may name signals by any name; a .mat of another name may be a recording of its own.
  const alone = headers.length === 1;
  const beside = (file) => /\.(dat|mat)$/i.test(file.name) && (taken.has(stem(file.name)) || (alone && /\.dat$/i.test(file.name)));
  return [
    ...headers.map((head) => ({
      name: stem(head.name),
      files: [head, ...files.filter((file) => beside(file) && (headers.length === 1 || stem(file.name) === stem(head.name)))],
    })),
    ...files.filter((file) => !headers.includes(file) && !beside(file)).map((file) => ({ name: file.name, files: [file] })),
  ];
}

async function open(files) {
  const most = words.able.most_mb, before = recordings.length;
  for (const one of grouped([...files])) {
    const size = one.files.reduce((sum, file) => sum + file.size, 0);
    const refused = size > most * 2 ** 20 ? words.service.too_large.replace("{name}", one.name).replace("{most}", most) : "";
    recordings.push({ ...one, age: "", sex: "", gestation: "", start: 0, refused, error: refused });
  }
  listRecordings();
  const found = recordings.slice(before);
  if (found.length) await choose(found[0]);
}

async function choose(one) {
  if (current !== one) { previous = null; $("changes").replaceChildren(); }
  current = one;
  for (const name of ["age", "sex", "gestation"]) $(name).value = one[name];
  show();
  await read();
}

// Reads the recording in hand; what came back late for another one is kept there and not shown.
async function read() {
  const one = current, mine = ++turn;
  if (!one) return;
  one.turn = mine;
  comparing += 1;
  if (one.refused) {
    say(one.refused, true);
    waits(false);
    show();
    return;
  }
  say(words.service.reading.replace("{name}", one.name));
  waits(true);
  try {
    const form = formOf(one);
    form.set("start_s", one.start);
    const view = await (await ask("/api/view", form)).json();
    if (one.turn !== mine) return; // asked again meanwhile, with another age
    Object.assign(one, { view, trace: decoded(view.recording), error: "" });
    if (mine === turn) say("");
  } catch (error) {
    if (one.turn !== mine) return;
    Object.assign(one, { view: null, trace: null, error: error.message });
    if (mine === turn) say(error.message, true);
  }
  listRecordings();
  if (mine === turn) { waits(false); show(); if (previous) await compare(); }
}

// Until it was answered, what is shown is the answer to another question: it is neither printed nor sent away.
function waits(isWaiting) {
  $("viewer").classList.toggle("waits", isWaiting);
  $("viewer").setAttribute("aria-busy", String(isWaiting));
  if (isWaiting) $("sheet").replaceChildren();
  for (const name of ["print-button", "report"]) $(name).disabled = isWaiting || !current?.view;
}

async function compare() {
  const mine = ++comparing; // an older answer that comes late is of another question
  $("changes").replaceChildren();
  $("previous-part").hidden = !previous;
  if (!previous || !current?.view) { drawPapers(); return; }
  const one = current, other = previous;
  try {
    const found = await (await ask("/api/changes", formOf(other, "previous_", formOf(one)))).json();
    if (!other.view) {
      const form = formOf(other);
      form.set("start_s", other.start);
      const view = await (await ask("/api/view", form)).json();
      Object.assign(other, { view, trace: decoded(view.recording) });
    }
    if (mine !== comparing) return;
    $("changes").replaceChildren(...panels.changes(found, words).filter(Boolean));
  } catch (error) {
    if (mine !== comparing) return;
    say(error.message, true);
  }
  drawPapers();
}

// ---- showing

function say(text, isError = false) {
  $("message").textContent = text;
  $("message").classList.toggle("error", isError);
}

function show() {
  const view = current?.view;
  $("drop").hidden = recordings.length > 0;
  $("viewer").hidden = !view;
  $("who").hidden = !current;
  if (!view) {
    calipers.clear();
    $("sheet").replaceChildren();
    $("title").textContent = current?.name ?? "";
    return;
  }
  const person = view.person;
  $("title").textContent = [current.name, person.age, person.sex, person.recorded, person.rate].filter(Boolean).join(" · ");
  $("age").placeholder = person.age_days === null ? words.service.age_hint : person.age;
  $("gestation").placeholder = words.service.gestation_hint;
  const long = view.recording.seconds > 10;
  $("start-part").hidden = !long;
  $("start").max = Math.max(0, Math.floor(view.recording.seconds - 1));
  $("start").value = current.start;
  const told = panels.remarks(view);
  $("remarks").replaceChildren(...(told.length ? told : [words.table.no_remarks]));
  for (const name of ["findings", "values", "answer", "ages", "beat"]) $(name).replaceChildren(...panels[name](view, words).filter(Boolean));
  fillCompare();
  drawPapers();
}

function drawPapers() {
  if (!current?.trace) return;
  const scale = Number(shown.zoom) * (100 / Number(shown.ruler));
  const how = { layout: shown.layout, speed: Number(shown.speed), gain: Number(shown.gain), scale, words: words.service };
  paper = draw($("paper"), current.trace, { ...how, start: current.start, beats: current.view.beats_s });
  $("paper").setAttribute("aria-label", `${$("title").textContent}, ${shown.speed} mm/s, ${shown.gain} mm/mV`);
  calipers.on(paper, current);
  $("cut").hidden = !paper.isCut;
  $("previous-part").hidden = !previous?.trace;
  if (previous?.trace) {
    $("previous-title").textContent = [previous.name, previous.view.person.age, previous.view.person.recorded].filter(Boolean).join(" · ");
    draw($("previous-paper"), previous.trace, { ...how, start: previous.start, beats: previous.view.beats_s });
  }
  if ($("viewer").classList.contains("waits")) return;
  const printed = node("svg", { id: "printed" });
  const layout = shown.layout === "12x1" ? "3x4" : shown.layout;
  const { gain } = drawWithin(printed, current.trace, PRINTED_MM, { layout, start: current.start, speed: 25, gain: 10, scale: 1, words: words.service });
  $("sheet").replaceChildren(...panels.sheet(current.view, current.name, words, printed, gain).filter(Boolean));
}

function item(one, name, detail, act) {
  const button = panels.make("button", one && one === current ? { "aria-current": "true" } : {}, panels.make("span", {}, name), detail ? panels.make("small", {}, detail) : "");
  button.addEventListener("click", act);
  return panels.make("li", {}, button);
}

function listRecordings() {
  $("recordings").replaceChildren(...recordings.map((one) =>
    item(one, one.name, one.error || (one.view ? one.view.person.age : ""), () => choose(one))));
  fillCompare();
}

function fillCompare() {
  if (!words) return;
  const person = current?.view?.person.patient;
  const others = recordings.filter((one) => one !== current);
  // Recordings of the same person first.
  others.sort((a, b) => Number(b.view?.person.patient === person && Boolean(person)) - Number(a.view?.person.patient === person && Boolean(person)));
  $("compare").replaceChildren(panels.make("option", { value: "" }, others.length ? "–" : words.service.compare_hint),
    ...others.map((one) => {
      const same = person && one.view?.person.patient === person;
      return panels.make("option", { value: recordings.indexOf(one) }, `${same ? "● " : ""}${one.name}`);
    }));
  $("compare").value = previous ? String(recordings.indexOf(previous)) : "";
}

async function listWatched() {
  if (!words?.able.watches) return;
  $("watched-part").hidden = false;
  try {
    const found = (await (await ask("/api/watched")).json()).recordings;
    const detail = (one) => one.error || [one.recorded, one.outside ? `! ${one.outside}` : ""].filter(Boolean).join(" ");
    $("watched").replaceChildren(...found.map((one) => item(null, one.name, detail(one), () => openWatched(one, found))));
  } catch { /* said where the person acts */ }
}

// Opens a recording of the watched folder, and lists the others of the same person to compare with.
async function openWatched(one, found) {
  const add = (entry) => {
    let known = recordings.find((other) => other.watched === entry.id);
    if (!known) {
      known = { name: entry.name, watched: entry.id, age: "", sex: "", gestation: "", start: 0, error: "" };
      recordings.push(known);
    }
    return known;
  };
  const chosen = add(one);
  for (const other of found) if (one.patient && other.patient === one.patient) add(other);
  await choose(chosen);
}

// ---- words and looks

async function speak(language) {
  words = await (await ask(`/api/words/${language}`)).json();
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-word]")) {
    const [part, key] = element.dataset.word.split(".");
    element.textContent = words[part][key];
  }
  $("sex").options[1].textContent = words.table.F;
  $("sex").options[2].textContent = words.table.M;
}

function look() {
  for (const name of ["layout", "speed", "gain", "zoom", "ruler", "language"]) $(name).value = shown[name];
  document.documentElement.dataset.theme = shown.theme;
  try { localStorage.setItem("auricle", JSON.stringify(shown)); } catch { /* a browser that keeps nothing */ }
  drawPapers();
}

function step(name, by) {
  const options = [...$(name).options].map((option) => option.value);
  const next = options.indexOf(shown[name]) + by;
  shown[name] = by > 0 && next >= options.length && name !== "zoom" ? options[0] : options[Math.max(0, Math.min(options.length - 1, next))];
  look();
}

async function goTo(start) {
  if (!current?.trace) return;
  const { recording } = current.view;
  current.start = Math.max(0, Math.min(Math.floor(recording.seconds - 1), start));
  const { start_s, samples, rate_hz, seconds } = current.trace;
  const sent = start_s + samples / rate_hz;
  const isThere = current.start >= start_s && Math.min(current.start + 10, seconds) <= sent + 1 / rate_hz;
  $("start").value = current.start;
  if (isThere) drawPapers();
  else await read();
}

function printOne() { if (!$("print-button").disabled) window.print(); }

async function report() {
  if (!current) return;
  try {
    const made = await (await ask("/api/report", formOf(current))).blob();
    const link = panels.make("a", { href: URL.createObjectURL(made), download: `${current.name}.html` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  } catch (error) { say(error.message, true); }
}

function turnTheme() {
  const isDark = shown.theme ? shown.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  shown.theme = isDark ? "light" : "dark";
  look();
}

const KEYS = {
  o: () => $("files").click(), s: () => step("speed", 1), g: () => step("gain", 1), "+": () => step("zoom", 1), "=": () => step("zoom", 1),
  "-": () => step("zoom", -1), c: () => calipers.next(), x: () => calipers.other(), escape: () => calipers.clear(), a: () => $("age").focus(), p: printOne,
  d: turnTheme, "?": () => $("keys").showModal(),
};

document.addEventListener("keydown", (event) => {
  if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const key = event.key.toLowerCase();
  const layouts = [...$("layout").options].map((option) => option.value);
  if (key in KEYS) KEYS[key]();
  else if (layouts[Number(key) - 1]) { shown.layout = layouts[Number(key) - 1]; look(); }
  else if (key === "arrowleft" || key === "arrowright") {
    const by = (key === "arrowleft" ? -1 : 1) * (event.shiftKey ? 10 : 1);
    if (calipers.isSet) calipers.move(by);
    else goTo((current?.start ?? 0) + by);
  } else return;
  event.preventDefault();
});

for (const name of ["layout", "speed", "gain", "zoom", "ruler"]) {
  $(name).addEventListener("change", () => {
    if (name === "ruler" && !(Number($(name).value) > 0)) return;
    shown[name] = $(name).value;
    look();
  });
}
$("language").addEventListener("change", async () => {
  shown.language = $("language").value;
  await speak(shown.language);
  look();
  await read();
});
$("open").addEventListener("click", () => $("files").click());
$("files").addEventListener("change", () => { open($("files").files); });
$("person").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!current) return;
  for (const name of ["age", "sex", "gestation"]) current[name] = $(name).value.trim();
  current.error = "";
  read();
});
$("start").addEventListener("change", () => goTo(Number($("start").value) || 0));
$("compare").addEventListener("change", () => {
  const chosen = $("compare").value;
  previous = chosen === "" ? null : recordings[Number(chosen)];
  compare();
});
$("print-button").addEventListener("click", printOne);
$("report").addEventListener("click", report);
$("theme").addEventListener("click", turnTheme);
$("help").addEventListener("click", () => $("keys").showModal());
$("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData();
  form.set("token", $("token").value);
  $("token").value = "";
  try {
    await ask("/api/login", form);
    $("login").close();
    read();
    listWatched();
  } catch (error) { $("login-message").textContent = error.message; }
});
for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => event.preventDefault());
document.addEventListener("drop", (event) => { if (event.dataTransfer?.files.length) open(event.dataTransfer.files); });

try { Object.assign(shown, JSON.parse(localStorage.getItem("auricle") || "{}")); } catch { /* as it comes */ }
for (const name of Object.keys(shown)) if (!KEPT.includes(name)) delete shown[name];
await speak(shown.language).catch((error) => say(error.message, true));
look();
listWatched();
setInterval(listWatched, 5000);
document.documentElement.dataset.ready = "true";
