// One model: its form, versions, signatures and card.

import { element, refill } from "./form.js";
import { imageForm } from "./image_form.js";
import { jsonForm } from "./json_form.js";
import { labeledSeedForm, seedForm } from "./seed_form.js";
import { embeddingForm, maskedTextForm, pairForm, spansForm, textForm } from "./text_forms.js";
import { valueForm, valueOfPairForm } from "./text_forms.js";

/** By the kind of input that the model's card names. */
const FORMS = {
  image: imageForm,
  seed: seedForm,
  labeled_seed: labeledSeedForm,
  masked_text: maskedTextForm,
  text: textForm,
  text_pair: pairForm,
  value: valueForm,
  value_of_pair: valueOfPairForm,
  spans: spansForm,
  embedding: embeddingForm,
};
const STATES = { LOADING: "loading", AVAILABLE: "available", UNLOADING: "unloading", END: "unloaded" };
const MAX_TEXT = 160;

export function newestOf(model) {
  return model.versions.find((version) => version.signatures);
}

export function taskOf(model) {
  const version = newestOf(model);
  return version ? String(version.card.task ?? "no model card") : "";
}

/** Returns a version's number and state. */
export function chip({ version, state, error }) {
  const text = error ? "refused" : STATES[state] ?? "unknown";
  return element("span", { className: `chip ${text}` }, `version ${version} ${text}`);
}

/** Returns the panel of a model; `update(model)` shows a new description by the server. */
export function modelPanel(name) {
  const url = `/v1/models/${encodeURIComponent(name)}:predict`;
  const task = element("p", { className: "note" });
  const none = element("p", { className: "banner" }, "No version of this model is available now.");
  const form = element("div", { className: "card" });
  const anything = element("div");
  const json = element("details", { className: "card" }, element("summary", {}, "Any signature, as JSON"), anything);
  const aside = element("aside");
  const asking = element("div", { className: "asking" }, element("h2", {}, name), task, none, form, json);
  const panel = element("section", { className: "panel", hidden: true, ariaLabel: name }, asking, aside);
  const made = new Map(); // by their holder: the source of each form, and the form
  let now, sent; // the description, and the version of the form's last automatic request

  function mount(holder, source, make) {
    const key = JSON.stringify(source);
    if (made.get(holder)?.key === key) return;
    made.set(holder, { key, ...make() });
    holder.replaceChildren(made.get(holder).form);
  }

  function draw() {
    const version = newestOf(now);
    const make = FORMS[version?.form?.kind];
    refill(aside, ...detailsOf(now, version));
    task.textContent = taskOf(now);
    none.hidden = Boolean(version);
    json.hidden = !version;
    form.hidden = !make;
    if (!version) return;
    const { signature, classes } = version.form ?? {};
    if (make) mount(form, [version.form, version.signatures[signature]], () => make(url, signature, classes));
    else if (!made.size) json.open = true;
    mount(anything, version.signatures, () => jsonForm(url, version.signatures));
    if (panel.hidden || sent === version.version) return;
    sent = version.version;
    made.get(form)?.shown?.();
  }

  function update(model) {
    now = model;
    draw();
  }

  function show(visible) {
    panel.hidden = !visible;
    if (visible) draw();
  }
  return { panel, update, show };
}

function detailsOf(model, version) {
  const versions = model.versions.map((each) => {
    const error = each.error ? [element("p", { className: "error" }, each.error)] : [];
    return element("div", {}, chip(each), ...error);
  });
  const details = [section("Versions", ...versions)];
  if (!version) return details;
  details.push(section("Signatures", ...Object.entries(version.signatures).map(signatureTable)));
  const card = Object.entries(version.card).filter(([, value]) => value !== null && cardText(value));
  if (card.length) details.push(section("Card", element("dl", {}, ...card.flatMap(cardRow))));
  return details;
}

function section(title, ...children) {
  return element("section", { className: "card" }, element("h3", {}, title), ...children);
}

function signatureTable([name, { inputs, outputs }]) {
  const line = (tag, cells) => element("tr", {}, ...cells.map((cell) => element(tag, {}, cell)));
  const lines = (tensors, way) =>
    Object.entries(tensors).map(([tensor, { dtype, shape }]) => {
      const sizes = shape ? `(${shape.map((size) => size ?? "any").join(", ")})` : "any";
      return line("td", [way, tensor, dtype, sizes]);
    });
  const head = line("th", ["", "name", "dtype", "shape"]);
  return element("table", {}, element("caption", {}, name), head, ...lines(inputs, "in"), ...lines(outputs, "out"));
}

function cardRow([name, value]) {
  const text = cardText(value);
  const shown = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)} …` : text;
  return [element("dt", {}, name === "versions" ? "packages" : name), element("dd", {}, shown)];
}

function cardText(value) {
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(4)));
  if (Array.isArray(value)) return value.map(cardText).join(", ");
  if (typeof value !== "object" || value === null) return String(value ?? "none");
  return Object.entries(value).map(([name, inner]) => `${name.replaceAll("_", " ")} ${cardText(inner)}`).join(", ");
}
