// What stands beside the trace. Every sentence comes ready from the service; texts are never markup.

import { node } from "./paper.js";

const Z = 4, WIDE = 130, EDGE = 5, Z_98 = 2.054;

export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function table(head, rows) {
  const top = make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)));
  return make("div", { class: "scroll" }, make("table", {}, make("thead", {}, top), make("tbody", {}, ...rows)));
}

const cell = (text, kind = "") => make("td", kind ? { class: kind } : {}, text);
const first = (...text) => make("th", { scope: "row" }, ...text);

// p2 to p98 as a band with the value and its interval: a disc inside, a diamond outside, a square where that is open.
export function bar(value) {
  if (value.z === null) return "";
  const x = (z) => ((Math.max(-Z, Math.min(Z, z)) + Z) / (2 * Z)) * (WIDE - 2 * EDGE) + EDGE;
  const kind = value.position === "normal" ? "normal" : value.position ? "outside" : "open";
  const drawn = node("svg", { class: `bar ${kind}`, width: WIDE, height: 14, viewBox: `0 0 ${WIDE} 14`, role: "img" });
  drawn.setAttribute("aria-label", value.centile);
  const at = x(value.z);
  const mark = { normal: `M${at - 4} 7a4 4 0 1 0 8 0a4 4 0 1 0 -8 0`, outside: `M${at - 5} 7l5 -5l5 5l-5 5z`, open: `M${at - 3.5} 3.5h7v7h-7z` }[kind];
  drawn.append(
    node("path", { class: "scale", d: `M0 7H${WIDE}` }),
    node("rect", { class: "band", x: x(-Z_98), y: 3, width: x(Z_98) - x(-Z_98), height: 8 }),
    node("path", { class: "middle", d: `M${x(0)} 1V13` }),
    node("rect", { class: "reach", x: x(value.z_low), y: 6, width: Math.max(1, x(value.z_high) - x(value.z_low)), height: 2 }),
    node("path", { class: "mark", d: mark }),
  );
  return drawn;
}

export function remarks(view) {
  return view.remarks.map((one) => make("p", { class: `remark ${one.kind}` }, one.text));
}

function list(findings) {
  return make("ul", { class: "findings" }, ...findings.map((one) => make("li", { class: `is-${one.kind}` }, one.text)));
}

export function findings(view, words) {
  return [list(view.findings), view.summary ? make("p", {}, view.summary) : null, view.basis ? make("p", {}, view.basis) : null,
    make("p", { class: "weak" }, `${words.weak} ${words.research}`)];
}

export function values(view, words) {
  const cart = view.values.some((one) => one.cart), aged = view.values.some((one) => one.centile);
  const head = words.table;
  const names = [head.value, head.result, ...(cart ? [head.cart] : []), ...(aged ? [head.centile, head.place, head.limits] : []), ""];
  const rows = view.values.map((one) => make("tr", { "data-code": one.code, class: one.position || "" },
    first(one.name), cell(one.result, "number"), ...(cart ? [cell(one.cart, "number")] : []),
    ...(aged ? [cell(one.centile), make("td", {}, bar(one)), cell(one.limits, "number")] : []), cell(one.note, "note")));
  return [table(names, rows), ...view.sources.map((line) => make("p", { class: "weak" }, line))];
}

export function answer(view, words) {
  const said = words.service, found = view.answer;
  if (!found) return [make("p", {}, said.no_weights)];
  const known = make("details", {}, make("summary", {}, words.prediction.weights), ...found.weights.map((line) => make("p", {}, line)));
  if (found.refused) return [make("p", { class: "remark grave" }, said.no_answer.replace("{reason}", found.refused)), known];
  const aged = found.classes.some((one) => one.without_age !== null);
  const names = [words.prediction.class, words.prediction.words, view.person.age_days === null ? words.prediction[found.kind] : said.with_age, "",
    ...(found.sets ? [words.prediction.set] : []), ...(aged ? [said.without_age, ...found.other_ages] : [])];
  const row = (one) => make("tr", { "data-code": one.code },
    first(one.code), make("td", {}, one.title, one.tested ? make("small", {}, `${words.prediction.tested_on} ${one.tested}`) : null),
    cell(one.score.toFixed(2), "number strong"), make("td", {}, meter(one.score)), ...(found.sets ? [cell(one.may_be)] : []),
    ...(aged ? [cell(one.without_age.toFixed(2), "number"), ...one.others.map((score) => cell(score.toFixed(2), "number"))] : []));
  const likely = found.classes.filter((one) => !one.unlikely), rest = found.classes.filter((one) => one.unlikely);
  const shares = Object.entries(found.groups).map(([name, share]) => `${name} ${Math.round(100 * share)} %`).join(words.joint);
  return [
    table(names, likely.map(row)),
    rest.length ? make("details", {}, make("summary", {}, said.more_classes.replace("{n}", rest.length)), table(names, rest.map(row))) : null,
    found.sets ? make("p", { class: "weak" }, found.sets) : null,
    shares ? make("p", {}, `${words.prediction.groups}${words.colon}${shares}`) : null,
    ...found.notes.map((note) => make("p", { class: "remark note" }, note)), known, make("p", { class: "weak" }, words.research),
  ];
}

function meter(score) {
  const drawn = node("svg", { class: "meter", width: 80, height: 10, viewBox: "0 0 80 10", role: "img", "aria-label": score.toFixed(2) });
  drawn.append(node("rect", { class: "band", width: 80, height: 10 }), node("rect", { class: "part", width: 80 * Math.max(0, Math.min(1, score)), height: 10 }));
  return drawn;
}

export function ages(view, words) {
  const columns = view.ages;
  const rows = columns[0].values.map((_, number) => make("tr", {}, first(columns[0].values[number].name),
    ...columns.map((age) => {
      const one = age.values[number];
      return make("td", { class: one.position || "" }, bar(one), one.word ? make("small", {}, one.word) : null);
    })));
  rows.push(make("tr", {}, first(words.table.findings), ...columns.map((age) => make("td", {}, age.findings.length ? list(age.findings) : words.table.none_found))));
  const made = table(["", ...columns.map((age) => age.age)], rows);
  made.classList.add("even");
  return [made];
}

export function changes(found, words) {
  const said = words.service;
  const names = [words.table.value, `${said.before} (${when(found.before)})`, `${said.now} (${when(found.now)})`, said.difference, said.moved, ""];
  const number = (value) => (value === null ? "" : `${value > 0 ? "+" : ""}${value.toFixed(1)}`);
  const rows = found.values.map((one) => make("tr", { class: one.clear ? "clear" : "" }, first(one.name),
    make("td", { class: "number" }, one.before, make("small", {}, one.centile_before)), make("td", { class: "number" }, one.now, make("small", {}, one.centile_now)),
    cell(one.difference, "number"), cell(number(one.z_difference), "number"), cell(one.clear ? said.clear_change : "", "note")));
  const part = (title, some) => (some.length ? [make("h4", {}, title), list(some)] : []);
  return [
    found.other_person ? make("p", { class: "remark grave" }, said.other_person) : null,
    found.comparable ? null : make("p", { class: "remark grave" }, said.not_comparable),
    ...part(said.appeared, found.appeared), ...part(said.gone_findings, found.gone),
    ...part(said.not_sought_before, found.not_sought_before), ...part(said.not_sought_now, found.not_sought_now),
    found.comparable && !found.appeared.length && !found.gone.length ? make("p", {}, said.nothing_changed) : null, table(names, rows),
  ];
}

const when = (person) => [person.recorded, person.age].filter(Boolean).join(", ");

export function beat(view) {
  return view.beat_svg ? [make("img", { alt: "", src: `data:image/svg+xml;charset=utf-8,${encodeURIComponent(view.beat_svg)}` })] : [];
}

const SHEET_VALUES = 21, SHEET_REMARKS = 3, SHEET_FINDINGS = 7, SHEET_CLASSES = 6, SHEET_GAIN = 10;

// One A4 page across: who, the paper (drawn by the caller, at a gain in mm/mV), remarks, values, findings, answer. What has no room is counted.
export function sheet(view, name, words, paper, gain) {
  const person = view.person;
  const told = [person.patient, person.recorded, person.age, person.sex, person.rate].filter(Boolean).join(" · ");
  const cut = (some, most) => (some.length > most ? [`+ ${some.length - most}`] : []);
  const values = view.values.filter((one) => one.result !== "-");
  const classes = view.answer && !view.answer.refused ? view.answer.classes : [], answered = classes.slice(0, SHEET_CLASSES);
  const scale = gain === SHEET_GAIN ? `25 mm/s · ${gain} mm/mV` : `25 mm/s · ${words.service.not_whole_gain.replace("{gain}", gain)}`;
  return [
    make("h1", {}, name), make("p", {}, told), paper, make("p", {}, gain === SHEET_GAIN ? scale : make("strong", {}, scale), ` · ${words.table.banner_strong} ${words.table.banner}`),
    make("div", { class: "columns" },
      make("div", {}, ...values.slice(0, SHEET_VALUES).map((one) => make("p", { class: one.position || "" }, make("span", {}, one.name), make("span", {}, one.result), make("span", {}, one.centile))),
        ...cut(values, SHEET_VALUES)),
      make("div", {}, ...view.remarks.slice(0, SHEET_REMARKS).map((one) => make("p", {}, `! ${one.text}`)), ...cut(view.remarks, SHEET_REMARKS), list(view.findings.slice(0, SHEET_FINDINGS)), ...cut(view.findings, SHEET_FINDINGS), make("p", {}, view.summary)),
      make("div", {}, make("h2", {}, words.service.answer), view.answer?.refused ? make("p", {}, view.answer.refused) : null,
        ...answered.map((one) => make("p", {}, make("span", {}, one.title), make("span", {}, one.score.toFixed(2)),
          make("span", {}, one.without_age === null ? "" : `(${words.service.without_age}${words.colon}${one.without_age.toFixed(2)})`))), ...cut(classes, SHEET_CLASSES), make("p", {}, words.research))),
  ];
}
