// What is around every view: where one can go, language, theme, who is logged in.

import { logOut } from "./data.js";
import { html } from "./html.js";
import { Notice } from "./parts.js";
import { currentLanguage, currentTheme, useLanguage, useTheme } from "./preferences.js";
import { change } from "./store.js";
import { t } from "./text.js";

const VIEWS = ["shares", "networks", "topology"];
const ADMINISTRATORS = ["administration"];
const PARENTS = { share: "shares", network: "networks", local: "networks" };

export function Shell({ state, children }) {
  const current = PARENTS[state.route.view] ?? state.route.view;
  return html`
    <header>
      <a class="brand" href="#/shares"><img src="icon.svg" alt="" width="18" height="18" /> Abaca</a>
      <nav aria-label=${t("main_navigation")}>
        ${[...VIEWS, ...(state.isAdmin ? ADMINISTRATORS : [])].map(
          (view) => html`<a href="#/${view}" aria-current=${view === current ? "page" : null}>${t(view)}</a>`,
        )}
      </nav>
      <${Preferences} />
      <span class="who">
        ${state.user && html`<span class="quiet">${state.user}</span>`}
        ${state.isAdmin && html`<span class="tag">admin</span>`}
        <button type="button" onClick=${logOut}>${t("log_out")}</button>
      </span>
    </header>
    <${Notice} notice=${state.notice} />
    <main>${children}</main>
  `;
}

/** Language and theme. */
export function Preferences() {
  return html`<span class="preferences">
    <${Choice} label=${t("theme")} value=${currentTheme()} choose=${useTheme}
      options=${[["auto", t("system")], ["light", t("light")], ["dark", t("dark")]]} />
    <${Choice} label=${t("language")} value=${currentLanguage()} choose=${useLanguage}
      options=${[["en", "English"], ["de", "Deutsch"]]} />
  </span>`;
}

function Choice({ label, value, choose, options }) {
  const chosen = (event) => {
    choose(event.currentTarget.value);
    change({}); // draws all texts anew
  };
  return html`<select aria-label=${label} value=${value} onChange=${chosen}>
    ${options.map(([name, text]) => html`<option value=${name} selected=${name === value}>${text}</option>`)}
  </select>`;
}
