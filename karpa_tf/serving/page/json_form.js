// Any signature: an editable JSON body that starts as an example, and the JSON answer.

import { element, labeled } from "./elements.js";
import { curl, makeForm } from "./form.js";

const LONGEST_EXAMPLE = 4096;
const LONGEST_ANSWER = 20000;

/** Returns an example value of an input: zeros, "text", or for files an empty `b64`. */
function example(name, { dtype, shape }) {
  const isFile = name.endsWith("_bytes") || name === "inputs";
  const value = { bool: false, string: isFile ? { b64: "" } : "text" }[dtype] ?? 0;
  const sizes = (shape ?? []).map((size) => size ?? 1);
  if (sizes.reduce((product, size) => product * size, 1) > LONGEST_EXAMPLE) return [];
  return sizes.reduceRight((inner, size) => Array(size).fill(inner), value);
}

/** Returns a request body for a signature: row format if every input has a batch axis, else column format. */
export function exampleBody(name, { inputs }) {
  const names = Object.keys(inputs);
  const rows = names.length > 0 && names.every((key) => inputs[key].shape?.[0] === null);
  const values = names.map((key) => {
    const { dtype, shape } = inputs[key];
    return [key, example(key, { dtype, shape: rows ? shape.slice(1) : shape })];
  });
  const fields = Object.fromEntries(values);
  return pretty({ signature_name: name, ...(rows ? { instances: [fields] } : { inputs: fields }) });
}

/** Returns indented JSON with flat lists on one line. */
function pretty(value, margin = "") {
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = `${margin}  `;
  if (Array.isArray(value)) {
    const flat = value.every((item) => typeof item !== "object");
    if (flat) return `[${value.map((item) => JSON.stringify(item)).join(", ")}]`;
    return `[\n${value.map((item) => inner + pretty(item, inner)).join(",\n")}\n${margin}]`;
  }
  const fields = Object.entries(value).map(([key, item]) => `${inner}${JSON.stringify(key)}: ${pretty(item, inner)}`);
  return fields.length ? `{\n${fields.join(",\n")}\n${margin}}` : "{}";
}

export function jsonForm(url, { signatures }) {
  const names = Object.keys(signatures);
  const select = element("select", {}, ...names.map((name) => element("option", { value: name }, name)));
  const area = element("textarea", { rows: 8, spellcheck: false, className: "json" });
  const fill = () => (area.value = names.length ? exampleBody(select.value, signatures[select.value]) : "{}");
  fill();
  // Registered before the form's own listener, which shows the command.
  select.addEventListener("input", fill);

  return makeForm(url, {
    fields: [...labeled("Signature", select), ...labeled("Request body", area)],
    button: "Send",
    request() {
      try {
        JSON.parse(area.value);
      } catch (error) {
        throw new Error(`The body is not JSON: ${error.message}.`);
      }
      return area.value;
    },
    show(_, text) {
      const left = text.length - LONGEST_ANSWER;
      const cut = left > 0 ? [element("p", { className: "note" }, `and ${left.toLocaleString()} more characters`)] : [];
      return [element("pre", { className: "reply", tabIndex: 0 }, text.slice(0, LONGEST_ANSWER)), ...cut];
    },
    summary: () => "",
    command: (path) => curl(path, area.value),
  });
}
