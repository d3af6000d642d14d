// Answers as elements. Each takes the result of one item, and what was asked.

import { curve } from "/page/chart.js";
import { h } from "/page/dom.js";
import { number } from "/page/format.js";
import { SPAN_MS } from "/page/history.js";

const SHOWN_NUMBERS = 8;

export function masks(all) {
  const found = all[0].masks;
  return found.map((mask, place) =>
    h(
      "div",
      {},
      found.length > 1 ? h("h4", {}, `Mask ${place + 1}`) : null,
      bars(mask.candidates.map(({ token, probability }) => [token, probability])),
    ),
  );
}

export function labels(all) {
  const shown = (one) => (one.similarity === undefined ? "" : `cosine ${number(one.similarity)}`);
  return [bars(all[0].labels.map((one) => [one.label, one.score, shown(one)]))];
}

export function similarities(all, { others }) {
  return [bars(all.map((one, place) => [others[place], one.similarity]), (value) => value.toFixed(3))];
}

export function follows(all) {
  const { probability } = all[0];
  return [bars([["It follows", probability], ["It does not", 1 - probability]])];
}

export function vector(all) {
  const { embedding } = all[0];
  const length = Math.sqrt(embedding.reduce((sum, value) => sum + value * value, 0));
  const first = embedding.slice(0, SHOWN_NUMBERS).map((value) => value.toFixed(4));
  const chart = curve();
  const least = Math.min(...embedding);
  const points = embedding.map((value, place) => [(place * SPAN_MS) / embedding.length, value - least]);
  chart.draw(points, SPAN_MS, `${embedding.length} numbers, drawn in a row`);
  return [
    h("p", {}, `${embedding.length} numbers, length ${length.toFixed(4)}`),
    chart.node,
    h("p", { class: "mono" }, `${first.join("  ")}${embedding.length > SHOWN_NUMBERS ? "  …" : ""}`),
  ];
}

export function tokens(all) {
  const shown = all[0].tokens.map(({ id, text, special }) =>
    h("li", { class: special ? "token special" : "token" }, h("span", {}, text), h("small", {}, id)),
  );
  const list = h("ul", { class: "tokens", "aria-label": "Tokens with their ids" }, ...shown);
  return [h("p", {}, `${shown.length} tokens`), list];
}

export function text(all) {
  return [h("p", { class: "shown-text" }, all[0].text)];
}

export function spans(all, { texts }) {
  const found = all[0].spans;
  if (!found.length) return [h("p", {}, "Nothing is tagged in this text.")];
  const marked = marks(texts[0], found, (span) => span.label);
  return [
    h("p", { class: "shown-text" }, ...marked),
    bars(found.map(({ text, label, score }) => [text, score, label])),
  ];
}

export function answers(all, { passages }) {
  const { answers: found } = all[0];
  const best = found[0];
  return [
    best ? h("p", { class: "shown-text" }, ...marks(passages[0], [best], () => "")) : null,
    bars(found.map(({ text, probability }) => [text || "(none)", probability])),
  ].filter(Boolean);
}

/** Bars with a name, a share and perhaps a remark. */
function bars(rows, show = share) {
  const drawn = rows.map(([name, value, remark]) => {
    const bar = h("span", { class: "fill" });
    bar.style.inlineSize = `${Math.max(0, Math.min(1, value)) * 100}%`;
    return h(
      "li",
      {},
      h("span", { class: "name" }, name),
      h("span", { class: "number" }, show(value)),
      h("span", { class: "track", "aria-hidden": "true" }, bar),
      remark ? h("span", { class: "hint remark" }, remark) : null,
    );
  });
  return h("ol", { class: "bars" }, ...drawn);
}

/** A text with some of its parts marked; places count code points. */
function marks(whole, parts, label) {
  const letters = Array.from(whole);
  const nodes = [];
  let place = 0;
  for (const part of [...parts].sort((one, other) => one.start - other.start)) {
    if (part.start < place) continue; // it lies within the one before
    nodes.push(letters.slice(place, part.start).join(""));
    const name = label(part);
    const marked = letters.slice(part.start, part.end).join("");
    nodes.push(h("mark", {}, marked, name ? h("small", {}, ` ${name}`) : null));
    place = part.end;
  }
  nodes.push(letters.slice(place).join(""));
  return nodes;
}

function share(value) {
  return `${(100 * value).toFixed(1)} %`;
}
