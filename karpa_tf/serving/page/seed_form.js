// Generation: one image for the seed of a slider, or a sheet of them.

import { element, labeled } from "./elements.js";
import { curl, makeForm } from "./form.js";

const SHEET = 16;
const LARGEST = 999;

export function seedForm(url, { signature, model }) {
  const slider = element("input", { type: "range", min: 0, max: LARGEST, value: 0 });
  const number = element("input", { type: "number", step: 1, value: 0, required: true });
  const sheet = element("button", { type: "button", className: "quiet" }, `${SHEET} seeds`);
  let count = 1;
  let asked = [];

  const seeds = () => Array.from({ length: count }, (_, place) => number.valueAsNumber + place);
  const body = () => JSON.stringify({ signature_name: signature, instances: seeds().map((seed) => ({ seed })) });

  function image({ b64 }, seed) {
    const source = `data:image/png;base64,${b64}`;
    return element("img", { src: source, alt: `Image of seed ${seed}`, title: `Seed ${seed}`, className: "drawn" });
  }

  function only({ predictions: [file] }) {
    const drawn = image(file, asked[0]);
    const link = { href: drawn.src, download: `${model}_seed_${asked[0]}.png`, className: "download" };
    return [element("figure", { className: "one" }, drawn, element("a", link, "Download the PNG file"))];
  }

  function many({ predictions }) {
    const choices = predictions.map((file, place) => {
      const seed = asked[place];
      const caption = element("span", {}, String(seed));
      return element("button", { type: "button", onclick: () => choose(seed) }, image(file, seed), caption);
    });
    return [element("div", { className: "sheet" }, ...choices)];
  }

  const task = {
    fields: [
      element("div", { className: "seed" }, ...labeled("Seed", slider), ...labeled("as a number", number)),
    ],
    button: "Draw",
    actions: [sheet],
    request() {
      if (!seeds().every(Number.isSafeInteger)) {
        throw new Error(`A seed is a whole number between ${Number.MIN_SAFE_INTEGER} and ${Number.MAX_SAFE_INTEGER}.`);
      }
      asked = seeds();
      return body();
    },
    show: (reply) => (reply.predictions.length === 1 ? only(reply) : many(reply)),
    summary: () => (asked.length === 1 ? `Image of seed ${asked[0]}.` : `Images of ${asked.length} seeds.`),
    command: (path) => curl(path, body()),
  };
  const made = makeForm(url, task);

  function choose(seed) {
    number.value = seed;
    slider.value = seed;
    count = 1;
    made.send();
  }
  slider.oninput = () => choose(slider.valueAsNumber);
  number.oninput = () => {
    slider.value = number.value;
    count = 1;
    if (number.value !== "") made.send();
  };
  sheet.onclick = () => {
    count = SHEET;
    made.send();
  };
  made.form.addEventListener("submit", () => (count = 1), { capture: true });
  return { ...made, shown: made.send };
}
