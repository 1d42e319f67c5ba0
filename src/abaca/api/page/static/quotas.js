// Quotas of a project, or of one of its users or share types, for administrators.

import { Component } from "./vendor/preact.mjs";

import { get } from "./api.js";
import { loggedOutBy } from "./data.js";
import { html } from "./html.js";
import { Act } from "./networks.js";
import { nameOf, showError } from "./parts.js";
import { limitedIn, pathOf, resetQuotas, setQuotas } from "./quota_actions.js";
import { t } from "./text.js";

export class Quotas extends Component {
  state = { project: "", user: "", type: "", shown: null };

  show = async (event) => {
    event.preventDefault();
    const { project, user, type } = this.state;
    const of = { project: project.trim(), user: user.trim(), type };
    try {
      const { quota_set: found } = await get(pathOf(of, "/detail"));
      const { project: now, user: whose, type: which } = this.state;
      if (now === project && whose === user && which === type) this.setState({ shown: { of, found } });
    } catch (error) {
      if (!loggedOutBy(error)) showError(error);
    }
  };

  set = (values) => this.setState({ ...values, shown: null });

  render({ types, act, doing }, { project, user, type, shown }) {
    const names = shown && limitedIn(shown.found);
    const limits = shown && Object.fromEntries(names.map((name) => [name, shown.found[name].limit]));
    return html`<section>
      <h2>${t("quotas")}</h2>
      <p class="quiet">${t("quotas_about")}</p>
      <form class="field" onSubmit=${this.show}>
        <label>${t("project")} <input value=${project} required spellcheck=${false} autocomplete="off"
          onInput=${(event) => this.set({ project: event.currentTarget.value })} /></label>
        <label>${t("quota_user")} <input value=${user} spellcheck=${false} autocomplete="off"
          onInput=${(event) => this.set({ user: event.currentTarget.value, type: "" })} /></label>
        <label>${t("quota_type")} <select value=${type}
          onChange=${(event) => this.set({ type: event.currentTarget.value, user: "" })}>
          ${[["", t("all")], ...types.map((one) => [one.id, nameOf(one)])].map(([id, text]) =>
            html`<option key=${id} value=${id} selected=${id === type}>${text}</option>`)}
        </select></label>
        <button>${t("show")}</button>
      </form>
      ${shown && html`<table class="list">
        <thead><tr><th scope="col">${t("name")}</th><th scope="col" class="number">${t("used")}</th>
          <th scope="col" class="number">${t("limit")}</th></tr></thead>
        <tbody>${names.map((name) => html`<tr key=${name}><td>${name}</td>
          <td class="number">${shown.found[name].in_use}</td>
          <td class="number">${limits[name] === -1 ? t("unlimited") : limits[name]}</td></tr>`)}</tbody>
      </table>
      <p class="buttons">
        <${Act} act=${act} place="quotas" action=${() => setQuotas(shown.of, limits)} text=${t("quota_set")} />
        <${Act} act=${act} place="quotas" action=${() => resetQuotas(shown.of)} text=${t("quota_reset")} />
      </p>`}
      ${doing("quotas")}
    </section>`;
  }
}
