// Texts: classification, and prediction of masked words.

import { bars, element, labeled, percent } from "./elements.js";
import { curl, makeForm } from "./form.js";

const MASK = "[MASK]";
const MAX_CHOICES = 8;

function textFields(text, rows) {
  const area = element("textarea", { rows, spellcheck: true, value: text });
  // Enter submits; Shift+Enter starts a new line.
  area.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    area.form.requestSubmit();
  });
  return area;
}

function bodyOf(signature, text) {
  return JSON.stringify({ signature_name: signature, instances: [{ text }] });
}

export function textForm(url, { signature }) {
  const area = textFields("", 3);
  area.placeholder = "A text to classify";
  return makeForm(url, {
    fields: labeled("Text", area),
    button: "Classify",
    request: () => bodyOf(signature, area.value),
    show: ({ predictions: [{ classes, scores }] }) => bars(classes, scores),
    summary({ predictions: [{ classes, scores }] }) {
      const best = scores.indexOf(Math.max(...scores));
      return `${classes[best]}, ${percent(scores[best])}.`;
    },
    command: (path) => curl(path, bodyOf(signature, area.value)),
  });
}

/** Joins pieces of a text with words between them; a word that starts with ## continues the word before it. */
export function filledText(pieces, words) {
  return pieces.slice(1).reduce((text, piece, index) => {
    const word = words[index];
    return word.startsWith("##") ? text.trimEnd() + word.slice(2) + piece : text + word + piece;
  }, pieces[0]);
}

export function maskedTextForm(url, { signature }) {
  const area = textFields(`The capital of France is ${MASK}.`, 3);
  const insert = element("button", { type: "button", className: "quiet" }, `Insert ${MASK}`);
  insert.onclick = () => {
    area.setRangeText(MASK, area.selectionStart, area.selectionEnd, "end");
    area.focus();
    area.dispatchEvent(new Event("input", { bubbles: true }));
  };
  let requested = "";

  const options = {
    fields: labeled(`Text, with ${MASK} for every word to predict`, area),
    actions: [insert],
    button: "Predict",
    request() {
      requested = area.value;
      if (!requested.includes(MASK)) throw new Error(`The text has no ${MASK}: write one for every word to predict.`);
      return bodyOf(signature, requested);
    },
    show: ({ predictions: [answer] }) => filledSentence(requested.split(MASK), answer, area, () => made.send()),
    summary: ({ predictions: [{ tokens }] }) => `Most probable: ${tokens.map((choices) => choices[0]).join(", ")}.`,
    command: (path) => curl(path, bodyOf(signature, area.value)),
  };
  const made = makeForm(url, options);
  return made;
}

/** Returns the text and, for each of its masks, buttons with the predicted tokens. */
function filledSentence(pieces, { tokens, scores }, area, send) {
  const count = pieces.length - 1;
  const words = Array(count).fill(MASK);
  const shown = element("p", { className: "sentence" });
  const again = element("button", { type: "button" }, "Predict again with these words");
  again.onclick = () => {
    area.value = filledText(pieces, words);
    area.dispatchEvent(new Event("input", { bubbles: true }));
    send();
  };

  const mark = (word, index) =>
    word === MASK
      ? element("mark", {}, String(index + 1))
      : element("mark", { className: "filled" }, word.replace(/^##/, ""));

  function draw() {
    // A word that starts with ## continues the word before it.
    const before = words.map((word, index) => (word.startsWith("##") ? pieces[index].trimEnd() : pieces[index]));
    shown.replaceChildren(...words.flatMap((word, index) => [before[index], mark(word, index)]), pieces[count]);
    // A text without masks leaves nothing to predict.
    const left = words.filter((word) => word === MASK).length;
    again.hidden = left === 0 || left === count;
  }

  const lists = words.map((_, mask) => {
    const title = element("h4", {}, count > 1 ? `Mask ${mask + 1}` : "Mask");
    if (mask >= tokens.length) {
      const note = "No prediction: this mask is beyond the model's maximum sequence length.";
      return element("section", { className: "mask" }, title, element("p", { className: "note" }, note));
    }
    const buttons = tokens[mask].slice(0, MAX_CHOICES).map((token, index) => {
      const fill = element("span", { className: "fill", ariaHidden: "true" });
      fill.style.width = `${100 * scores[mask][index]}%`;
      const score = element("span", { className: "score" }, percent(scores[mask][index]));
      const button = element("button", { type: "button", className: "choice", ariaPressed: "false" });
      button.append(fill, element("span", { className: "name" }, token), score);
      button.onclick = () => {
        words[mask] = words[mask] === token ? MASK : token;
        for (const other of buttons) other.ariaPressed = String(other === button && words[mask] === token);
        draw();
      };
      return button;
    });
    return element("section", { className: "mask" }, title, ...buttons);
  });
  draw();
  return [shown, element("div", { className: "masks" }, ...lists), again];
}
