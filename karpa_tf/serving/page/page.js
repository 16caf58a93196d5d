// The list of models, polled every few seconds. User input is kept: a form is created again only if its signature has
// changed.

import { chip, modelPanel, newestOf, taskOf } from "./model.js";
import { element, refill } from "./form.js";

const POLL_INTERVAL = 2000;
const TIMEOUT = 10000;

const [list, holder, summary, gone] = ["models", "panels", "summary", "gone"].map((id) => document.getElementById(id));
const panels = new Map();
let before = "";
let models = [];

const link = ({ name }) => `#${encodeURIComponent(name)}`;

function show() {
  const shown = models.find((model) => link(model) === location.hash) ?? models[0];
  for (const [name, { show }] of panels) show(name === shown?.name);
  const items = models.map((model) => {
    const chips = model.versions.slice(0, model.versions.indexOf(newestOf(model)) + 1 || 1).map(chip);
    const parts = [element("b", {}, model.name), element("small", {}, taskOf(model)), element("span", {}, ...chips)];
    const anchor = element("a", { href: link(model), ariaCurrent: model === shown ? "page" : null }, ...parts);
    return element("li", {}, anchor);
  });
  refill(list, ...items);
}

function update() {
  for (const [name, { panel }] of panels) {
    if (models.some((model) => model.name === name)) continue;
    panel.remove();
    panels.delete(name);
  }
  for (const model of models) {
    if (!panels.has(model.name)) {
      panels.set(model.name, modelPanel(model.name));
      holder.append(panels.get(model.name).panel);
    }
    panels.get(model.name).update(model);
  }
  summary.textContent = `${location.host} · ${models.length || "no"} ${models.length === 1 ? "model" : "models"}`;
  show();
}

async function refresh() {
  let [text, sentence] = [before, ""];
  try {
    const response = await fetch("/page/models", { signal: AbortSignal.timeout(TIMEOUT) });
    if (!response.ok) throw new Error();
    text = await response.text();
  } catch {
    sentence = `The server at ${location.host} does not answer. This page shows its last answer …`;
  }
  gone.hidden = !sentence;
  // Screen readers read an alert aloud whenever it is written.
  if (gone.textContent !== sentence) gone.textContent = sentence;
  if (text === before) return;
  before = text;
  models = JSON.parse(text).models;
  update();
}

function poll() {
  refresh().finally(() => setTimeout(poll, POLL_INTERVAL));
}

// An image that is dropped outside its field would replace the page.
for (const event of ["dragover", "drop"]) document.addEventListener(event, (dragged) => dragged.preventDefault());
addEventListener("hashchange", show);
poll();
