// Generation: one image for the seed of a slider, or a grid of images of consecutive seeds.

import { element, labeled } from "./elements.js";
import { curl, makeForm } from "./form.js";

const GRID_SIZE = 16;
const MAX_SEED = 999;

export function seedForm(url, { signature, model }) {
  const slider = element("input", { type: "range", min: 0, max: MAX_SEED, value: 0 });
  const number = element("input", { type: "number", step: 1, value: 0, required: true });
  const grid = element("button", { type: "button", className: "quiet" }, `${GRID_SIZE} seeds`);
  let count = 1;
  let requested = [];

  const seeds = () => Array.from({ length: count }, (_, index) => number.valueAsNumber + index);
  const body = () => JSON.stringify({ signature_name: signature, instances: seeds().map((seed) => ({ seed })) });

  function image({ b64 }, seed) {
    const source = `data:image/png;base64,${b64}`;
    return element("img", { src: source, alt: `Image of seed ${seed}`, title: `Seed ${seed}`, className: "generated" });
  }

  function only({ predictions: [file] }) {
    const generated = image(file, requested[0]);
    const link = { href: generated.src, download: `${model}_seed_${requested[0]}.png`, className: "download" };
    return [element("figure", { className: "one" }, generated, element("a", link, "Download the PNG file"))];
  }

  function many({ predictions }) {
    const buttons = predictions.map((file, index) => {
      const seed = requested[index];
      const caption = element("span", {}, String(seed));
      return element("button", { type: "button", onclick: () => setSeed(seed) }, image(file, seed), caption);
    });
    return [element("div", { className: "grid" }, ...buttons)];
  }

  const options = {
    fields: [
      element("div", { className: "seed" }, ...labeled("Seed", slider), ...labeled("as a number", number)),
    ],
    button: "Generate",
    actions: [grid],
    request() {
      if (!seeds().every(Number.isSafeInteger)) {
        throw new Error(`A seed is an integer between ${Number.MIN_SAFE_INTEGER} and ${Number.MAX_SAFE_INTEGER}.`);
      }
      requested = seeds();
      return body();
    },
    show: (reply) => (reply.predictions.length === 1 ? only(reply) : many(reply)),
    summary: () => (requested.length === 1 ? `Image of seed ${requested[0]}.` : `Images of ${requested.length} seeds.`),
    command: (path) => curl(path, body()),
  };
  const made = makeForm(url, options);

  function setSeed(seed) {
    number.value = seed;
    slider.value = seed;
    count = 1;
    made.send();
  }
  slider.oninput = () => setSeed(slider.valueAsNumber);
  number.oninput = () => {
    slider.value = number.value;
    count = 1;
    if (number.value !== "") made.send();
  };
  grid.onclick = () => {
    count = GRID_SIZE;
    made.send();
  };
  made.form.addEventListener("submit", () => (count = 1), { capture: true });
  return { ...made, shown: made.send };
}
