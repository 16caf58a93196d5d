// Any signature: an editable JSON body that starts as an example, and the JSON answer.

import { element, labeled, makeForm } from "./form.js";

const LONGEST_EXAMPLE = 4096;
const LONGEST_ANSWER = 20000;

/** Returns an example value of an input: zeros, "text", or for files an empty `b64`. */
function example(name, dtype, shape) {
  const value = { bool: false, string: name.endsWith("_bytes") ? { b64: "" } : "text" }[dtype] ?? 0;
  const sizes = (shape ?? []).map((size) => size ?? 1);
  if (sizes.reduce((product, size) => product * size, 1) > LONGEST_EXAMPLE) return [];
  return sizes.reduceRight((inner, size) => Array(size).fill(inner), value);
}

/** Returns indented JSON with lists of numbers on one line. */
function pretty(value) {
  return JSON.stringify(value, null, 2).replace(/\[[^[\]{}"]+\]/g, (list) => list.replace(/\s+/g, " "));
}

/** Returns a request body for a signature: rows if every input has a batch axis, else columns. */
function exampleBody(name, { inputs }) {
  const tensors = Object.entries(inputs);
  const rows = tensors.length > 0 && tensors.every(([, { shape }]) => shape?.[0] === null);
  const values = tensors.map(([key, { dtype, shape }]) => [key, example(key, dtype, rows ? shape.slice(1) : shape)]);
  const fields = Object.fromEntries(values);
  return pretty({ signature_name: name, ...(rows ? { instances: [fields] } : { inputs: fields }) });
}

export function jsonForm(url, signatures) {
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
    body: () => area.value,
    show(reply) {
      const text = pretty(reply);
      const shown = text.length > LONGEST_ANSWER ? `${text.slice(0, LONGEST_ANSWER)}\n…` : text;
      return [element("pre", { className: "reply", tabIndex: 0 }, shown)];
    },
  });
}
