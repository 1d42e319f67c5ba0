// Every word that the page shows, by language. Words of the API (statuses, messages of errors, names)
// are shown as they are.

import { currentLanguage } from "./preferences.js";
import { GERMAN } from "./text_de.js";
import { ENGLISH } from "./text_en.js";

export const TEXTS = { en: ENGLISH, de: GERMAN };

/** The text of that name, with `{n}` replaced by `values.n`. Throws for a name that there is not. */
export function t(name, values = {}) {
  const text = TEXTS[currentLanguage()][name];
  if (text === undefined) throw new Error(`no text: ${name}`);
  return text.replace(/\{(\w+)\}/g, (_, key) => String(values[key]));
}

/** How long ago: "3 minutes ago". */
export function ago(date, now = Date.now()) {
  const seconds = Math.round((date.getTime() - now) / 1000);
  const format = new Intl.RelativeTimeFormat(currentLanguage(), { numeric: "auto" });
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(seconds) >= size) {
      return format.format(seconds < 0 ? Math.trunc(seconds / size) : Math.round(seconds / size), unit);
    }
  }
  return format.format(Math.min(seconds, 0), "second");
}
