// One model: its form, versions, signatures and card.

import { element, labeled, refill } from "./elements.js";
import { jsonForm } from "./json_form.js";
import { imageForm } from "./image_form.js";
import { seedForm } from "./seed_form.js";
import { maskedTextForm, textForm } from "./text_forms.js";

/** By the kind of input that the model's card names. */
const FORMS = {
  image: imageForm,
  seed: seedForm,
  masked_text: maskedTextForm,
  text: textForm,
};
const STATES = {
  START: "found",
  LOADING: "loading",
  AVAILABLE: "available",
  UNLOADING: "unloading",
  END: "unloaded",
};

export function stateOf({ state, error }) {
  if (state === "END" && error) return "refused";
  return STATES[state] ?? "unknown";
}

export function newestOf(model) {
  return model.versions.find((version) => version.state === "AVAILABLE" && version.signatures);
}

export function taskOf(model) {
  const newest = newestOf(model);
  if (!newest) return "";
  const { task } = newest.card;
  return typeof task === "string" ? task : "no model card";
}

export function chip(text) {
  return element("span", { className: `chip ${text}` }, text);
}

/** Returns the panel of a model; `update(model)` shows a new description by the server. */
export function modelPanel(name) {
  const title = element("h2", {}, name);
  const task = element("p", { className: "note" });
  const select = element("select");
  const chooser = element("div", { className: "chooser" }, ...labeled("Version", select));
  const none = element("p", { className: "banner" }, "No version of this model is available now.");
  const form = element("div", { className: "card" });
  const anything = element("div");
  const json = element("details", { className: "card" }, element("summary", {}, "Any signature, as JSON"), anything);
  const details = element("aside");
  const head = element("div", { className: "head" }, element("div", {}, title, task), chooser);
  const asking = element("div", { className: "asking" }, head, none, form, json);
  const panel = element("section", { className: "panel", hidden: true, ariaLabel: name }, asking, details);

  const url = () => `/v1/models/${encodeURIComponent(name)}${select.value}:predict`;
  const forms = new Map(); // by their holder: the source of each form, and the form
  let now;
  let drawn; // the version of the form's last automatic request

  function mount(holder, source, make) {
    const key = JSON.stringify(source);
    if (forms.get(holder)?.key === key) return;
    const made = make();
    forms.set(holder, { key, made });
    holder.replaceChildren(made.form);
  }

  function draw() {
    const version = selectedVersion(now, select.value);
    refill(details, ...detailsOf(now, version));
    none.hidden = Boolean(version);
    chooser.hidden = !newestOf(now);
    form.hidden = json.hidden = !version;
    if (!version) return;
    const { signatures, form: wanted } = version;
    const make = FORMS[wanted?.kind];
    form.hidden = !make;
    if (make) {
      const signature = wanted.signature;
      mount(form, [wanted, signatures[signature]], () => make(url, { signature, model: name }));
    } else if (!forms.has(anything)) {
      json.open = true;
    }
    mount(anything, signatures, () => jsonForm(url, { signatures }));
    for (const { made } of forms.values()) made.refresh();
    if (!panel.hidden && make && drawn !== version.version) {
      drawn = version.version;
      forms.get(form).made.shown?.();
    }
  }
  select.onchange = draw;

  return {
    panel,
    update(model) {
      now = model;
      task.textContent = taskOf(model);
      fillSelect(select, model);
      draw();
    },
    show(visible) {
      panel.hidden = !visible;
      if (visible) draw();
    },
  };
}

function fillSelect(select, model) {
  const newest = newestOf(model);
  const available = model.versions.filter((version) => version.signatures);
  const options = [
    ["", newest ? `newest (${newest.version})` : "none"],
    ...Object.entries(model.labels).map(([label, number]) => [
      `/labels/${encodeURIComponent(label)}`,
      `label ${label} (${number})`,
    ]),
    ...available.map(({ version }) => [`/versions/${version}`, `version ${version}`]),
  ];
  const before = select.value;
  refill(select, ...options.map(([value, text]) => element("option", { value }, text)));
  select.value = options.some(([value]) => value === before) ? before : "";
}

function selectedVersion(model, selection) {
  const [, kind, which] = selection.split("/");
  if (!kind) return newestOf(model);
  const number = kind === "labels" ? model.labels[decodeURIComponent(which)] : which;
  return model.versions.find((version) => version.version === number && version.signatures);
}

function detailsOf(model, version) {
  const details = [section("Versions", versionsTable(model))];
  if (!version) return details;
  const tables = Object.entries(version.signatures).map(([name, signature]) => signatureTable(name, signature));
  details.push(section(`Signatures of version ${version.version}`, ...tables));
  const lists = cardLists(version.card);
  if (lists.length) details.push(section("Card", ...lists));
  return details;
}

function section(title, ...children) {
  return element("section", { className: "card" }, element("h3", {}, title), ...children);
}

function table(className, heads, rows) {
  const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)));
  const body = rows.map((cells) => element("tr", {}, ...cells.map((cell) => element("td", {}, cell))));
  return element("table", { className }, element("thead", {}, head), element("tbody", {}, ...body));
}

function versionsTable(model) {
  if (model.error) return element("p", { className: "error" }, model.error);
  if (!model.versions.length) return element("p", { className: "note" }, "No versions yet.");
  const rows = model.versions.map((version) => {
    const labels = Object.keys(model.labels).filter((label) => model.labels[label] === version.version);
    const why = version.error ? [element("p", { className: "error" }, version.error)] : [];
    const tags = labels.map((label) => element("span", { className: "tag" }, label));
    const state = element("div", {}, chip(stateOf(version)), ...tags, ...why);
    return [version.version, state];
  });
  return table("versions", ["version", "state"], rows);
}

function signatureTable(name, { inputs, outputs }) {
  const lines = (tensors, way) =>
    Object.entries(tensors).map(([tensor, { dtype, shape }]) => [way, tensor, dtype, shapeText(shape)]);
  const shown = table("signature", ["", "name", "dtype", "shape"], [...lines(inputs, "in"), ...lines(outputs, "out")]);
  shown.prepend(element("caption", {}, name));
  return shown;
}

function shapeText(shape) {
  return shape ? `(${shape.map((size) => size ?? "any").join(", ")})` : "any";
}

const MAX_TEXT = 160;

/** Returns the definition lists of a card: one of its scalars, and one for each of its sections. */
function cardLists(card) {
  const fields = Object.entries(card).filter(([, value]) => value !== null && value !== "" && value.length !== 0);
  const sections = fields.filter(([, value]) => isSection(value));
  const single = fields.filter(([, value]) => !isSection(value));
  return [
    ...(single.length ? [element("dl", {}, ...single.flatMap(row))] : []),
    ...sections.flatMap(([name, section]) => [
      element("h4", {}, name === "versions" ? "packages" : name),
      element("dl", {}, ...Object.entries(section).flatMap(row)),
    ]),
  ];
}

const isSection = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

function row([name, value]) {
  const text = cardText(value);
  const shown = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)} …` : text;
  return [element("dt", {}, name.replaceAll("_", " ")), element("dd", {}, shown)];
}

function cardText(value) {
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(4)));
  if (Array.isArray(value)) return value.map(cardText).join(", ");
  if (!isSection(value)) return String(value ?? "none");
  const inside = (inner) => (isSection(inner) ? `(${cardText(inner)})` : cardText(inner));
  return Object.entries(value)
    .map(([name, inner]) => `${name}: ${inside(inner)}`)
    .join(", ");
}
