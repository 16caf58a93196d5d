// Classification of an image: a file that is dropped, pasted or selected is sent unchanged.

import { bars, element, labeled, makeForm, quoted } from "./form.js";

function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(new Error(`${file.name} cannot be read; select it again.`));
    reader.readAsDataURL(file);
  });
}

export function imageForm(url, signature) {
  let file = null;
  const input = element("input", { type: "file", accept: "image/*", className: "sr-only" });
  const thumbnail = element("img", { className: "thumbnail", alt: "", hidden: true });
  const name = element("span", { className: "file" }, "Drop an image here, paste it, or select a file");
  const hint = element("span", { className: "note" }, "JPEG, PNG, GIF, BMP or WebP, of any size");
  const [label] = labeled("", input);
  label.className = "drop";
  label.append(thumbnail, element("span", { className: "words" }, name, hint));
  const bodyOf = (b64) => JSON.stringify({ signature_name: signature, instances: [{ image_bytes: { b64 } }] });
  const made = makeForm(url, {
    fields: [element("div", {}, input, label)],
    button: "Classify",
    async body() {
      if (!file) throw new Error("There is no image yet: drop one, paste one, or select a file.");
      return bodyOf(await base64(file));
    },
    show: bars,
    // The shell encodes the body, since a complete image is too long to copy.
    command(address) {
      const format = bodyOf("\0").replaceAll("\\", String.raw`\\`).replaceAll("%", "%%");
      const filled = quoted(format.replace(String.raw`\\u0000`, "%s"));
      const path = quoted(file?.name || "image.png");
      return `printf ${filled} \\\n  "$(base64 < ${path} | tr -d '\\n')" |\n  curl -d @- ${address}`;
    },
  });

  function setFile(files) {
    if (!files?.length) return;
    file = files[0];
    if (thumbnail.src) URL.revokeObjectURL(thumbnail.src);
    thumbnail.hidden = false;
    thumbnail.src = URL.createObjectURL(file);
    name.textContent = file.name;
    hint.textContent = `${file.size.toLocaleString()} bytes; drop, paste or select another one`;
    made.send();
  }
  // The server may read a format that the browser does not show.
  thumbnail.onerror = () => (thumbnail.hidden = true);
  input.onchange = () => {
    setFile(input.files);
    input.value = ""; // so that the same file can be selected again after a change
  };
  label.addEventListener("drop", (event) => setFile(event.dataTransfer.files));
  document.addEventListener("paste", (event) => {
    if (made.form.checkVisibility()) setFile(event.clipboardData.files);
  });
  return made;
}
