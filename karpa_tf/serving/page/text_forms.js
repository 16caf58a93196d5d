// Texts: classification, spans, and prediction of masked words.

import { bars, element, labeled, makeForm, scored } from "./form.js";

const MASK = "[MASK]";
const MAX_CHOICES = 8;

function textArea(properties) {
  const area = element("textarea", { rows: 3, spellcheck: true, ...properties });
  // Enter submits; Shift+Enter starts a new line.
  area.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    area.form.requestSubmit();
  });
  return area;
}

const bodyOf = (signature, text) => JSON.stringify({ signature_name: signature, instances: [{ text }] });

/** Returns a form of one text, or of two, and its answer by `show`. */
function formOf(url, signature, hasPairs, button, show) {
  const areas = { text: textArea({ placeholder: hasPairs ? "The first text" : "A text" }) };
  if (hasPairs) areas.text_pair = textArea({ placeholder: "The second text" });
  const body = () => {
    const values = Object.entries(areas).map(([name, area]) => [name, area.value]);
    return JSON.stringify({ signature_name: signature, instances: [Object.fromEntries(values)] });
  };
  const labels = { text: hasPairs ? "First text" : "Text", text_pair: "Second text" };
  const fields = Object.entries(areas).flatMap(([name, area]) => labeled(labels[name], area));
  return makeForm(url, { fields, button, body, show });
}

export const textForm = (url, signature) => formOf(url, signature, false, "Classify", bars);
export const pairForm = (url, signature) => formOf(url, signature, true, "Classify", bars);

/** TF Serving leaves out the name of a single output. */
const value = ({ predictions: [number] }) => [element("p", { className: "value" }, String(Number(number.toPrecision(5))))];
export const valueForm = (url, signature) => formOf(url, signature, false, "Predict", value);
export const valueOfPairForm = (url, signature) => formOf(url, signature, true, "Predict", value);

/** One query and lines to search: the lines, the most similar first. Embeddings have unit length. */
export function embeddingForm(url, signature) {
  const query = textArea({ rows: 1, placeholder: "What to look for" });
  const area = element("textarea", { rows: 6, spellcheck: true, placeholder: "Texts to search, one per line" });
  const linesOf = () => area.value.split("\n").filter((line) => line.trim());
  let searched = [];

  function body(isSent) {
    const lines = linesOf();
    if (isSent && !query.value.trim()) throw new Error("The query is blank: write what to look for.");
    if (isSent && !lines.length) throw new Error("There are no texts to search: write one per line.");
    if (isSent) searched = lines;
    const instances = [query.value, ...lines].map((text) => ({ text }));
    return JSON.stringify({ signature_name: signature, instances });
  }

  function show({ predictions: [first, ...others] }) {
    const scores = others.map((row) => row.reduce((sum, x, index) => sum + x * first[index], 0));
    const order = [...scores.keys()].sort((a, b) => scores[b] - scores[a]);
    const rows = order.map((index) => element("li", {}, ...scored(searched[index], scores[index])));
    return [element("ol", { className: "bars" }, ...rows)];
  }

  const fields = [...labeled("Query", query), ...labeled("Texts", area)];
  return makeForm(url, { fields, button: "Search", body, show });
}

export function spansForm(url, signature) {
  const area = textArea({ placeholder: "A text with names" });
  let requested = "";

  function show({ predictions: [{ starts, ends, types, scores }] }) {
    const letters = [...requested]; // the ends of spans count code points
    const parts = [];
    let position = 0;
    starts.forEach((start, index) => {
      if (start < 0) return; // padding
      const name = element("small", {}, `${types[index]} ${(100 * scores[index]).toFixed(0)} %`);
      parts.push(letters.slice(position, start).join(""));
      parts.push(element("mark", {}, letters.slice(start, ends[index]).join(""), name));
      position = ends[index];
    });
    parts.push(letters.slice(position).join(""));
    const note = position ? [] : [element("p", { className: "note" }, "The model finds nothing in this text.")];
    return [element("p", { className: "spans" }, ...parts), ...note];
  }

  function body(isSent) {
    if (isSent) requested = area.value;
    return bodyOf(signature, area.value);
  }
  return makeForm(url, { fields: labeled("Text", area), button: "Mark", body, show });
}

/** Returns a text with a word in the place of one of its masks; one that starts with ## continues the word before. */
export function fillMask(text, mask, word) {
  const pieces = text.split(MASK);
  const before = pieces.slice(0, mask + 1).join(MASK);
  const after = pieces.slice(mask + 1).join(MASK);
  return word.startsWith("##") ? before.trimEnd() + word.slice(2) + after : before + word + after;
}

export function maskedTextForm(url, signature) {
  const area = textArea({ value: `The capital of France is ${MASK}.` });
  const insert = element("button", { type: "button", className: "quiet" }, `Insert ${MASK}`);
  insert.onclick = () => {
    area.setRangeText(MASK, area.selectionStart, area.selectionEnd, "end");
    area.focus();
    area.dispatchEvent(new Event("input", { bubbles: true }));
  };
  let requested = "";

  function choice(mask, word, score) {
    const onclick = () => {
      area.value = fillMask(requested, mask, word);
      if (area.value.includes(MASK)) made.send();
      area.dispatchEvent(new Event("input", { bubbles: true }));
    };
    return element("button", { type: "button", className: "choice", onclick }, ...scored(word, score));
  }

  function show({ predictions: [{ tokens, scores }] }) {
    const masks = Array.from({ length: requested.split(MASK).length - 1 }, (_, mask) => {
      const words = (tokens[mask] ?? []).slice(0, MAX_CHOICES);
      const choices = words.map((word, index) => choice(mask, word, scores[mask][index]));
      const note = "No prediction: this mask is beyond the model's maximum sequence length.";
      const content = choices.length ? choices : [element("p", { className: "note" }, note)];
      return element("section", { className: "mask" }, element("h4", {}, `Mask ${mask + 1}`), ...content);
    });
    const hint = element("p", { className: "note" }, "A click writes the word into the text.");
    return [element("div", { className: "masks" }, ...masks), hint];
  }

  const made = makeForm(url, {
    fields: labeled(`Text, with ${MASK} for every word to predict`, area),
    actions: [insert],
    button: "Predict",
    body(isSent) {
      const text = area.value;
      if (isSent && !text.includes(MASK)) throw new Error(`The text has no ${MASK}: write one for each word.`);
      if (isSent) requested = text;
      return bodyOf(signature, text);
    },
    show,
  });
  return made;
}
