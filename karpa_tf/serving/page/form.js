// What all forms share: asking the server, one question at a time, and showing what it said.

import { command, element } from "./elements.js";

/** Asks the server; throws an Error whose message is a sentence for people. */
export async function ask(url, body) {
  const start = performance.now();
  let response, text;
  try {
    const headers = { "Content-Type": "application/json" };
    response = await fetch(url, { method: "POST", headers, body });
    text = await response.text();
  } catch {
    throw new Error("No answer came: the server has gone, or it closed the connection on a request above its limits.");
  }
  const milliseconds = performance.now() - start;
  let reply;
  try {
    reply = JSON.parse(text);
  } catch {
    throw new Error(`The server answered with status ${response.status} and what is no JSON: ${text.slice(0, 300)}`);
  }
  if (!response.ok) throw new Error(`The server refused (${response.status}): ${sentence(reply?.error ?? text)}`);
  return { reply, text, milliseconds };
}

function sentence(text) {
  const trimmed = String(text).trim();
  return /[.!?]$/.test(trimmed) ? trimmed : `${trimmed}.`;
}

/** Returns a function that never runs `work` twice at once; of the calls that come meanwhile the last one counts. */
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
 * Returns a form of the fields of a task; it is sent by its button, and by `task.send`, which is set here.
 *
 * @param url function to the path to ask.
 * @param task.fields elements of the form.
 * @param task.button what its button says.
 * @param task.request function to the body to send, text or a promise of it; throws an Error that says what is missing.
 * @param task.show function of the server's reply, and its text, to the elements of the answer.
 * @param task.summary function of the reply to a sentence for those who hear the page.
 * @param task.command function of the URL to a shell command that asks the same.
 */
export function makeForm(url, task) {
  const status = element("p", { className: "status", role: "status" });
  const answer = element("div", { className: "answer" });
  const shell = command();
  const button = element("button", { type: "submit" }, task.button);
  const form = element(
    "form",
    { className: "ask", noValidate: true },
    ...task.fields,
    element("div", { className: "actions" }, button, ...(task.actions ?? []), status),
    answer,
    element("details", { className: "shell" }, element("summary", {}, "The same with curl"), shell.box),
  );

  const refresh = () => shell.show(task.command(url()));
  task.send = latestOnly(async () => {
    refresh();
    form.classList.add("busy");
    try {
      const { reply, text, milliseconds } = await ask(url(), await task.request());
      answer.replaceChildren(...task.show(reply, text));
      const time = milliseconds < 10 ? milliseconds.toFixed(1) : Math.round(milliseconds);
      const heard = element("span", { className: "heard" }, `${task.summary(reply)} `);
      status.replaceChildren(heard, `Answered in ${time} ms.`);
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
    task.send();
  });
  form.addEventListener("input", refresh);
  refresh();
  return { form, refresh, send: task.send };
}
