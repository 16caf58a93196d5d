// The list of models, polled every few seconds. User input is kept: a form is created again only if its signature has
// changed.

import { element, refill } from "./elements.js";
import { chip, modelPanel, newestOf, stateOf, taskOf } from "./model.js";

const POLL_INTERVAL = 2000;
const TIMEOUT = 10000;

const list = document.getElementById("models");
const holder = document.getElementById("panels");
const summary = document.getElementById("summary");
const gone = document.getElementById("gone");
const panels = new Map();
let before = "";
let models = [];

function selectedName() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}

function show() {
  const name = panels.has(selectedName()) ? selectedName() : models[0]?.name;
  for (const [other, { show }] of panels) show(other === name);
  const links = models.map((model) => {
    const newest = newestOf(model);
    const newer = model.versions.slice(0, newest ? model.versions.indexOf(newest) : undefined);
    const coming = newer.find((version) => ["refused", "loading"].includes(stateOf(version)));
    const state = element("span", { className: "states" });
    if (newest) state.append(element("span", { className: "chip available" }, `version ${newest.version}`));
    if (coming) state.append(chip(stateOf(coming)));
    if (!newest && !coming) state.append(chip("none"));
    const link = element("a", { href: `#${encodeURIComponent(model.name)}` }, element("b", {}, model.name));
    if (model.name === name) link.ariaCurrent = "page";
    link.append(element("small", {}, taskOf(model)), state);
    return element("li", {}, link);
  });
  refill(list, ...links);
}

function update() {
  const names = new Set(models.map(({ name }) => name));
  for (const [name, { panel }] of panels) {
    if (names.has(name)) continue;
    panel.remove();
    panels.delete(name);
  }
  for (const model of models) {
    if (!panels.has(model.name)) {
      const added = modelPanel(model.name);
      panels.set(model.name, added);
      holder.append(added.panel);
    }
    panels.get(model.name).update(model);
  }
  const count = models.length === 1 ? "1 model" : `${models.length} models`;
  summary.textContent = `${location.host} · ${models.length ? count : "no models yet"}`;
  show();
}

/** Returns the server's description of its models as JSON text, or null if there is no answer. */
async function fetchModels() {
  let why;
  try {
    const response = await fetch("/page/models", { signal: AbortSignal.timeout(TIMEOUT) });
    if (response.ok) return await response.text();
    why = `it answers with status ${response.status}`;
  } catch {
    why = "it does not answer";
  }
  const sentence = `The server at ${location.host} is not available: ${why}. This page shows its last answer …`;
  // Screen readers read an alert aloud whenever it is written.
  if (gone.textContent !== sentence) gone.textContent = sentence;
  gone.hidden = false;
  return null;
}

async function refresh() {
  const text = await fetchModels();
  if (text === null) return;
  gone.hidden = true;
  gone.textContent = "";
  if (text === before) return;
  before = text;
  models = JSON.parse(text).models;
  update();
}

function again() {
  refresh().finally(() => setTimeout(again, POLL_INTERVAL));
}

// An image that is dropped outside its field would replace the page.
for (const event of ["dragover", "drop"]) document.addEventListener(event, (dragged) => dragged.preventDefault());
addEventListener("hashchange", show);
again();
