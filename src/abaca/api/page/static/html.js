// Markup as values. Text in it is text, whoever wrote it: nothing here parses markup at run time.

import htm from "./vendor/htm.mjs";
import { h } from "./vendor/preact.mjs";

export const html = htm.bind(h);
