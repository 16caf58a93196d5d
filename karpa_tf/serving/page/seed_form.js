// Generation: one image for the seed of a slider, or a grid of images of consecutive seeds; of a class, if there are any.

import { element, labeled, makeForm } from "./form.js";

const GRID_SIZE = 16;
const MAX_SEED = 999;

export function seedForm(url, signature) {
  return makeSeedForm(url, signature, false);
}

export function labeledSeedForm(url, signature, classes) {
  return makeSeedForm(url, signature, true, classes);
}

function makeSeedForm(url, signature, hasLabels, classes) {
  const slider = element("input", { type: "range", min: 0, max: MAX_SEED, value: 0 });
  const number = element("input", { type: "number", step: 1, value: 0 });
  const grid = element("button", { type: "button", className: "quiet" }, `${GRID_SIZE} seeds`);
  const options = classes?.map((name) => element("option", {}, name)) ?? [];
  const label = classes ? element("select", {}, ...options) : element("input", { type: "number", min: 0, value: 0 });
  let requested = [0];

  function image({ b64 }, index) {
    const seed = requested[index];
    const src = `data:image/png;base64,${b64}`;
    const shown = element("img", { src, alt: `Image of seed ${seed}`, className: "generated" });
    if (requested.length > 1) return element("button", { type: "button", onclick: () => set(seed) }, shown, `${seed}`);
    const link = element("a", { href: src, download: `seed_${seed}.png` }, "Download the PNG file");
    return element("figure", {}, shown, link);
  }

  const instance = (seed) => (hasLabels ? { seed, labels: classes ? label.selectedIndex : label.valueAsNumber } : { seed });
  const choice = hasLabels ? [element("div", { className: "seed" }, ...labeled("Class", label))] : [];
  const seeds = element("div", { className: "seed" }, ...labeled("Seed", slider), ...labeled("as a number", number));
  const made = makeForm(url, {
    fields: [...choice, seeds],
    button: "Generate",
    actions: [grid],
    body(isSent) {
      const valid = requested.every(Number.isSafeInteger);
      if (isSent && !valid) throw new Error(`A seed is an integer up to ${Number.MAX_SAFE_INTEGER}.`);
      return JSON.stringify({ signature_name: signature, instances: requested.map(instance) });
    },
    show({ predictions }) {
      return [element("div", { className: predictions.length > 1 ? "grid" : "one" }, ...predictions.map(image))];
    },
  });

  function set(seed, count = 1) {
    if (slider.valueAsNumber !== seed) slider.value = seed;
    if (number.valueAsNumber !== seed) number.value = seed;
    requested = Array.from({ length: count }, (_, index) => seed + index);
    made.send();
  }
  slider.oninput = () => set(slider.valueAsNumber);
  number.oninput = () => number.value && set(number.valueAsNumber);
  label.onchange = () => made.send();
  grid.onclick = () => set(number.valueAsNumber, GRID_SIZE);
  made.form.onsubmit = () => set(number.valueAsNumber);
  return { ...made, shown: made.send };
}
