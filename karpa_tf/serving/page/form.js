// Common code of all forms: one request at a time to the server, and its answer.

import { command, element } from "./elements.js";

/** Sends a request; throws an Error whose message is shown to the user. */
export async function post(url, body) {
  const start = performance.now();
  let response, text;
  try {
    const headers = { "Content-Type": "application/json" };
    response = await fetch(url, { method: "POST", headers, body });
    text = await response.text();
  } catch {
    throw new Error("No answer: the server is down, or it closed the connection on a request above its limits.");
  }
  const milliseconds = performance.now() - start;
  let reply;
  try {
    reply = JSON.parse(text);
  } catch {
    throw new Error(`The server answered with status ${response.status} and no JSON: ${text.slice(0, 300)}`);
  }
  if (response.ok) return { reply, text, milliseconds };
  throw new Error(`The server rejected the request (${response.status}): ${sentence(reply?.error ?? text)}`);
}

function sentence(text) {
  const trimmed = String(text).trim();
  return /[.!?]$/.test(trimmed) ? trimmed : `${trimmed}.`;
}

/** Returns a function that runs `work` once at a time; of the calls during a run only the last one is executed. */
export function latestOnly(work) {
  let running = false;
  let waiting = false;
  return async () => {
    waiting = true;
    if (running) return;
    running = true;
    try {
      while (waiting) {
        waiting = false;
        await work();
      }
    } finally {
      running = false;
    }
  };
}

/** Quotes a text for a POSIX shell. */
export function quoted(text) {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** Returns the curl command that sends a JSON body. */
export function curl(url, body) {
  return `curl -d ${quoted(body)} \\\n  ${quoted(new URL(url, location).href)}`;
}

/**
 * Returns a form; it is sent by its button and by the returned `send`.
 *
 * @param url function that returns the path of the request.
 * @param options.fields elements of the form.
 * @param options.button text of its button.
 * @param options.request function that returns the body, text or a promise; throws an Error if input is missing.
 * @param options.show function of the server's reply, and its text, that returns the elements of the answer.
 * @param options.summary function of the reply that returns a sentence for screen readers.
 * @param options.command function of the URL that returns a shell command for the same request.
 */
export function makeForm(url, options) {
  const status = element("p", { className: "status", role: "status" });
  const answer = element("div", { className: "answer" });
  const shell = command();
  const button = element("button", { type: "submit" }, options.button);
  const form = element(
    "form",
    { className: "ask", noValidate: true },
    ...options.fields,
    element("div", { className: "actions" }, button, ...(options.actions ?? []), status),
    answer,
    element("details", { className: "shell" }, element("summary", {}, "The same request with curl"), shell.box),
  );

  const refresh = () => shell.show(options.command(url()));
  const send = latestOnly(async () => {
    refresh();
    form.classList.add("busy");
    try {
      const { reply, text, milliseconds } = await post(url(), await options.request());
      answer.replaceChildren(...options.show(reply, text));
      const time = milliseconds < 10 ? milliseconds.toFixed(1) : Math.round(milliseconds);
      const spoken = element("span", { className: "sr-only" }, `${options.summary(reply)} `);
      status.replaceChildren(spoken, `Answered in ${time} ms.`);
      status.classList.remove("refused");
    } catch (error) {
      answer.replaceChildren();
      status.textContent = error.message;
      status.classList.add("refused");
    }
    form.classList.remove("busy");
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  form.addEventListener("input", refresh);
  refresh();
  return { form, refresh, send };
}
