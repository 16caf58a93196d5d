// Elements of the page. Text is added as text nodes only: names of models, classes and tokens may contain markup.

export function element(tag, properties = {}, ...children) {
  const created = Object.assign(document.createElement(tag), properties);
  created.append(...children);
  return created;
}

let ids = 0;

/** Returns a label and its control. */
export function labeled(text, control) {
  control.id ||= `control-${++ids}`;
  return [element("label", { htmlFor: control.id }, text), control];
}

/** Replaces the children of an element if they differ; otherwise a selection or focus in them would be lost. */
export function refill(parent, ...children) {
  const next = element("div", {}, ...children);
  if (parent.innerHTML !== next.innerHTML) parent.replaceChildren(...next.childNodes);
}

export function percent(score) {
  return `${(100 * score).toFixed(1)} %`;
}

/** Returns a list of the `limit` names with the highest scores, each with a bar for its score. */
export function bars(names, scores, limit = 5) {
  const order = [...scores.keys()].sort((a, b) => scores[b] - scores[a]).slice(0, limit);
  const rows = order.map((index) => {
    const fill = element("span", { className: "fill" });
    fill.style.width = `${Math.min(100, Math.max(0, 100 * scores[index]))}%`;
    const track = element("span", { className: "track", ariaHidden: "true" }, fill);
    return element(
      "li",
      {},
      element("span", { className: "name" }, names[index]),
      element("span", { className: "score" }, percent(scores[index])),
      track,
    );
  });
  const left = scores.length - rows.length;
  const list = element("ol", { className: "bars" }, ...rows);
  if (left <= 0) return [list];
  return [list, element("p", { className: "note" }, `and ${left} more ${left === 1 ? "class" : "classes"}`)];
}

/** Returns a command that can be copied; `show(text)` changes it. */
export function command() {
  const code = element("code");
  const button = element("button", { type: "button", className: "quiet" }, "Copy");
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      // Browsers give the clipboard to https and to loopback only; elsewhere the text is selected, ready to be copied.
      getSelection().selectAllChildren(code);
      button.textContent = "Press Ctrl+C";
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  };
  const box = element("div", { className: "command" }, element("pre", { tabIndex: 0 }, code), button);
  return { box, show: (text) => (code.textContent = text) };
}
