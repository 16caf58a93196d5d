// Texts: the classes of one, and what stands in its blanks.

import { bars, element, labeled, percent } from "./elements.js";
import { curl, makeForm } from "./form.js";

const MASK = "[MASK]";
const CHOICES = 8;

function textFields(text, rows) {
  const area = element("textarea", { rows, spellcheck: true, value: text });
  // Enter sends, as in a search box; Shift+Enter makes a new line.
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

export function textClassifierForm(url, { signature }) {
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

/** Joins a text's parts with what stands between them; a piece that starts with ## goes on with the word before it. */
export function filledText(parts, words) {
  return parts.slice(1).reduce((text, part, place) => {
    const word = words[place];
    return word.startsWith("##") ? text.trimEnd() + word.slice(2) + part : text + word + part;
  }, parts[0]);
}

export function blanksForm(url, { signature }) {
  const area = textFields(`The capital of France is ${MASK}.`, 3);
  const insert = element("button", { type: "button", className: "quiet" }, `Insert ${MASK}`);
  insert.onclick = () => {
    area.setRangeText(MASK, area.selectionStart, area.selectionEnd, "end");
    area.focus();
    area.dispatchEvent(new Event("input", { bubbles: true }));
  };
  let asked = "";

  const task = {
    fields: labeled(`Sentence, with ${MASK} for every blank`, area),
    actions: [insert],
    button: "Fill in",
    request() {
      asked = area.value;
      if (!asked.includes(MASK)) throw new Error(`The sentence has no blank: write ${MASK} where a word is wanted.`);
      return bodyOf(signature, asked);
    },
    show: ({ predictions: [answer] }) => sentence(asked.split(MASK), answer, area, () => made.send()),
    summary: ({ predictions: [{ tokens }] }) => `Likeliest: ${tokens.map((choices) => choices[0]).join(", ")}.`,
    command: (path) => curl(path, bodyOf(signature, area.value)),
  };
  const made = makeForm(url, task);
  return made;
}

/** Returns the sentence and, for each of its blanks, the tokens to choose from. */
function sentence(parts, { tokens, scores }, area, send) {
  const blanks = parts.length - 1;
  const words = Array(blanks).fill(MASK);
  const shown = element("p", { className: "sentence" });
  const again = element("button", { type: "button" }, "Ask again with these words");
  again.onclick = () => {
    area.value = filledText(parts, words);
    area.dispatchEvent(new Event("input", { bubbles: true }));
    send();
  };

  const mark = (word, place) =>
    word === MASK
      ? element("mark", {}, String(place + 1))
      : element("mark", { className: "filled" }, word.replace(/^##/, ""));

  function draw() {
    // A piece that starts with ## goes on with the word before it.
    const before = words.map((word, place) => (word.startsWith("##") ? parts[place].trimEnd() : parts[place]));
    shown.replaceChildren(...words.flatMap((word, place) => [before[place], mark(word, place)]), parts[blanks]);
    // What is filled in wholly leaves nothing to ask.
    const left = words.filter((word) => word === MASK).length;
    again.hidden = left === 0 || left === blanks;
  }

  const lists = words.map((_, blank) => {
    const title = element("h4", {}, blanks > 1 ? `Blank ${blank + 1}` : "The blank");
    if (blank >= tokens.length) {
      const note = "The model did not see this blank: the sentence is longer than what it reads.";
      return element("section", { className: "blank" }, title, element("p", { className: "note" }, note));
    }
    const buttons = tokens[blank].slice(0, CHOICES).map((token, place) => {
      const fill = element("span", { className: "fill", ariaHidden: "true" });
      fill.style.width = `${100 * scores[blank][place]}%`;
      const score = element("span", { className: "score" }, percent(scores[blank][place]));
      const button = element("button", { type: "button", className: "choice", ariaPressed: "false" });
      button.append(fill, element("span", { className: "name" }, token), score);
      button.onclick = () => {
        words[blank] = words[blank] === token ? MASK : token;
        for (const other of buttons) other.ariaPressed = String(other === button && words[blank] === token);
        draw();
      };
      return button;
    });
    return element("section", { className: "blank" }, title, ...buttons);
  });
  draw();
  return [shown, element("div", { className: "blanks" }, ...lists), again];
}
