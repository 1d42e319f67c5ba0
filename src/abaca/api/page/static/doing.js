// A form for an action: its fields, the command that does the same, what cannot be undone, and why
// it was refused if it was.

import { Component } from "./vendor/preact.mjs";

import { call } from "./api.js";
import { commandLine } from "./commands.js";
import { loggedOutBy, refresh } from "./data.js";
import { html } from "./html.js";
import { CopyText, Refusal } from "./parts.js";
import { change } from "./store.js";
import { t } from "./text.js";

/** Lies below the button that opened it, which has the focus again when it is closed. */
export class Doing extends Component {
  constructor(props) {
    super(props);
    this.opener = document.activeElement;
    const values = Object.fromEntries(props.action.fields.map(({ name, value = "" }) => [name, value]));
    this.state = { values, isConfirmed: false, isBusy: false, refusal: null };
  }

  componentDidMount() {
    this.form.querySelector("input, select, .buttons button").focus();
  }

  close = () => {
    this.props.close();
    if (this.opener?.isConnected) this.opener.focus();
  };

  submit = async (event) => {
    event.preventDefault();
    if (this.state.isBusy) return;
    const { title, request } = this.props.action;
    const { method, path, body } = request(this.state.values);
    this.setState({ isBusy: true, refusal: null });
    try {
      await call(method, path, body);
    } catch (error) {
      this.setState({ isBusy: false, refusal: error });
      loggedOutBy(error);
      return;
    }
    this.close();
    change({ notice: { kind: "done", text: t("requested", { what: title }) } });
    refresh();
  };

  render({ action }, { values, isConfirmed, isBusy, refusal }) {
    const { title, fields, final, request } = action;
    const set = (name, value) => this.setState({ values: { ...values, [name]: value } });
    return html`<form class="doing" aria-label=${title} ref=${(form) => (this.form = form)} onSubmit=${this.submit}
      onKeyDown=${(event) => event.key === "Escape" && this.close()}>
      <p class="title">${title}</p>
      ${fields.map((field) => html`<${Field} key=${field.name} field=${field} value=${values[field.name]}
        set=${(value) => set(field.name, value)} />`)}
      <${CopyText} label=${t("same_command")} text=${commandLine("openstack", ...request(values).words)} />
      ${final && html`<label class="confirm">
        <input type="checkbox" required checked=${isConfirmed}
          onChange=${(event) => this.setState({ isConfirmed: event.currentTarget.checked })} />
        <span>${final}</span>
      </label>`}
      <div role="alert">${refusal && html`<${Refusal} error=${refusal} />`}</div>
      <p class="buttons">
        <button class=${final ? "final" : "main"} aria-disabled=${isBusy ? "true" : undefined}>${title}</button>
        <button type="button" onClick=${this.close}>${t("cancel")}</button>
      </p>
    </form>`;
  }
}

function Field({ field: { label, kind, options, required, placeholder }, value, set }) {
  const onInput = (event) => set(event.currentTarget.value);
  return html`<label>${label}
    ${options
      ? html`<select value=${value} onChange=${onInput}>
          ${options.map(([id, text]) => html`<option key=${id} value=${id} selected=${id === value}>${text}</option>`)}
        </select>`
      : html`<input type=${kind ?? "text"} min=${kind && 1} step=${kind && 1} value=${value}
          required=${required} placeholder=${placeholder} autocomplete="off" spellcheck=${false}
          onInput=${onInput} />`}
  </label>`;
}
