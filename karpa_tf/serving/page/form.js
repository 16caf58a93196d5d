// Elements, and what all forms share: one request at a time to the server, and its answer. Text is added as text nodes
// only: names of models, classes and tokens may contain markup.

export function element(tag, properties = {}, ...children) {
  const created = Object.assign(document.createElement(tag), properties);
  created.append(...children);
  return created;
}

let ids = 0;

/** Returns a label and its control. */
export function labeled(text, control) {
  control.id ||= `control-${++ids}`;
  return [element("label", { htmlFor: control.id }, text), control];
}

/** Replaces the children of an element if they differ; otherwise a selection or focus in them would be lost. */
export function refill(parent, ...children) {
  const next = element("div", {}, ...children);
  if (parent.innerHTML !== next.innerHTML) parent.replaceChildren(...next.childNodes);
}

/** Returns a name with its score as a percentage and as a bar. */
export function scored(name, score) {
  const fill = element("span", { className: "fill", ariaHidden: "true" });
  fill.style.width = `${Math.min(100, Math.max(0, 100 * score))}%`;
  const percent = element("span", { className: "score" }, `${(100 * score).toFixed(1)} %`);
  return [fill, element("span", { className: "name" }, name), percent];
}

/** Returns a list of the five classes with the highest scores. */
export function bars({ predictions: [{ classes, scores }] }) {
  const order = [...scores.keys()].sort((a, b) => scores[b] - scores[a]).slice(0, 5);
  const rows = order.map((index) => element("li", {}, ...scored(classes[index], scores[index])));
  const more = scores.length > 5 ? `and ${scores.length - 5} more` : "";
  return [element("ol", { className: "bars" }, ...rows), element("p", { className: "note" }, more)];
}

/** Quotes a text for a POSIX shell. */
export function quoted(text) {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

async function post(url, body) {
  const start = performance.now();
  let response, reply;
  try {
    response = await fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body });
    reply = await response.json();
  } catch {
    throw new Error("No answer: the server is down, or it closed the connection on a request above its limits.");
  }
  if (!response.ok) throw new Error(`The server rejected the request (${response.status}): ${reply.error}`);
  return { reply, milliseconds: performance.now() - start };
}

/** Returns a function that runs `work` once at a time; of the calls during a run only the last one is executed. */
export function latestOnly(work) {
  let [running, again] = [false, false];
  return async () => {
    again = true;
    if (running) return;
    running = true;
    while (again) {
      again = false;
      await work();
    }
    running = false;
  };
}

/**
 * Returns a form; it is sent by its button and by the returned `send`.
 *
 * @param url path of the request.
 * @param options.fields elements of the form; options.actions: more buttons.
 * @param options.button text of its button.
 * @param options.body function that returns the body, text or a promise; throws an Error if input is missing.
 * @param options.show function of the server's reply that returns the elements of the answer.
 * @param options.command function of the URL that returns a shell command for the request; the default sends the body.
 */
export function makeForm(url, { fields, actions = [], button, body, show, command }) {
  const status = element("p", { className: "status", role: "status" });
  const answer = element("div", { className: "answer" });
  const shell = element("pre", { tabIndex: 0 });
  const submit = element("button", { type: "submit" }, button);
  const row = element("div", { className: "actions" }, submit, ...actions, status);
  const title = element("summary", {}, "The same request with curl");
  const details = element("details", { className: "shell" }, title, shell);
  const form = element("form", { className: "ask", noValidate: true }, ...fields, row, answer, details);
  command ??= (address) => `curl -d ${quoted(body(false))} \\\n  ${address}`;

  const refresh = () => (shell.textContent = command(quoted(new URL(url, location).href)));
  const send = latestOnly(async () => {
    refresh();
    form.classList.add("busy");
    let error = "";
    try {
      const { reply, milliseconds } = await post(url, await body(true));
      answer.replaceChildren(...show(reply));
      status.textContent = `Answered in ${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms.`;
    } catch ({ message }) {
      answer.replaceChildren();
      status.textContent = error = message;
    }
    status.classList.toggle("error", Boolean(error));
    form.classList.remove("busy");
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  form.addEventListener("input", refresh);
  refresh();
  return { form, send };
}
