// Small pieces that all views use.

import { html } from "./html.js";
import { change } from "./store.js";
import { currentLanguage } from "./preferences.js";
import { ago, t } from "./text.js";

const GOOD = ["available", "active", "up"];

/** A status, coloured by whether it is good, in progress or bad; the word says the same. */
export function Status({ of }) {
  const text = String(of ?? "–");
  const kind = GOOD.includes(text) ? "good" : text.includes("error") || text === "down" ? "bad" : "busy";
  return html`<span class="status ${kind}">${text}</span>`;
}

/** A time of the API, which is UTC without saying so. */
export function Time({ of }) {
  if (!of) return html`<span>–</span>`;
  const date = new Date(/Z|[+-]\d\d:?\d\d$/.test(of) ? of : `${of}Z`);
  return html`<time datetime=${date.toISOString()} title=${date.toLocaleString(currentLanguage())}>
    ${ago(date)}
  </time>`;
}

export const shortId = (id) => id.slice(0, 8);

/** The name of a thing, or a piece of its id. */
export function nameOf(thing) {
  return thing.name || shortId(thing.id);
}

/** Text to be copied, with a button that does it. */
export function CopyText({ label, text }) {
  return html`<figure class="copy">
    <figcaption>${label}</figcaption>
    <pre tabindex="0" aria-label=${label}>${text}</pre>
    <button type="button" onClick=${(event) => copy(event.currentTarget, text)}>${t("copy")}</button>
  </figure>`;
}

async function copy(button, text) {
  try {
    await navigator.clipboard.writeText(text); // only on HTTPS and on this machine
    change({ notice: { kind: "done", text: t("copied") } });
  } catch {
    const range = document.createRange();
    range.selectNodeContents(button.parentElement.querySelector("pre"));
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range); // Ctrl+C does the rest
  }
}

/** Rows of a description: [name, value]. */
export function Facts({ rows }) {
  return html`<dl class="facts">
    ${rows.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}
  </dl>`;
}

/** An error or a success, which screen readers say. */
export function Notice({ notice }) {
  return html`<div class="notices" aria-live="polite">
    ${notice &&
    html`<div class="notice ${notice.kind}">
      <span>${notice.text}</span>
      ${notice.requestId && html`<span class="quiet">${t("request_id")} <code>${notice.requestId}</code></span>`}
      <button type="button" onClick=${() => change({ notice: null })}>${t("dismiss")}</button>
    </div>`}
  </div>`;
}

/** Shows what was refused. */
export function showError(error) {
  change({ notice: { kind: "error", text: reasonOf(error), requestId: error.requestId } });
}

/** Why something was refused, and by which request one finds it in the log. */
export function Refusal({ error }) {
  return html`<p><span class="problem">${reasonOf(error)}</span>
    ${error.requestId && html` <span class="quiet">${t("request_id")} <code>${error.requestId}</code></span>`}
  </p>`;
}

const reasonOf = (error) => (error.status === 0 ? t("no_answer") : error.message);
