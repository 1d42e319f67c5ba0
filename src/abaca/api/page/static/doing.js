// A form for an action: its fields, the command that does the same, what a check says before, what
// cannot be undone, and why it was refused if it was.

import { Component } from "./vendor/preact.mjs";

import { call } from "./api.js";
import { commandLine } from "./commands.js";
import { loggedOutBy, refresh } from "./data.js";
import { html } from "./html.js";
import { CopyText, Refusal, showError } from "./parts.js";
import { change } from "./store.js";
import { t } from "./text.js";

const ASKED_AGAIN = 700; // milliseconds, while back ends have not answered
const ASKED_MOST = 60; // times
const MOST_NAMED = 20; // of what a change would cut

/** Lies below the button that opened it, which has the focus again when it is closed. */
export class Doing extends Component {
  constructor(props) {
    super(props);
    this.opener = document.activeElement;
    const values = Object.fromEntries(props.action.fields.map(({ name, value, options }) =>
      [name, value ?? options?.[0][0] ?? ""]));
    this.state = { values, answer: null, isConfirmed: false, isBusy: false, refusal: null };
  }

  componentDidMount() {
    this.isOpen = true;
    this.form.querySelector("input, select, .buttons button").focus();
  }

  componentWillUnmount() {
    this.isOpen = false;
  }

  close = () => {
    this.props.close();
    if (this.opener?.isConnected) this.opener.focus();
  };

  /** What a check has said is of the values that it was asked about. */
  set = (name, value) => this.setState(({ values }) => ({ values: { ...values, [name]: value }, answer: null }));

  submit = async (event) => {
    event.preventDefault();
    if (this.state.isBusy) return;
    this.setState({ isBusy: true, refusal: null });
    try {
      if (this.hasToBeChecked()) await this.check();
      else await this.carryOut();
    } catch (error) {
      this.setState({ isBusy: false, refusal: error });
      if (!loggedOutBy(error) && !this.isOpen) showError(error); // the form was closed, or left, meanwhile
    }
  };

  hasToBeChecked() {
    return this.props.action.check && this.state.answer?.compatible !== true;
  }

  async check() {
    const asked = this.state.values;
    const { path, body } = this.props.action.check(asked);
    for (let times = 0; this.isOpen && times < ASKED_MOST; times += 1) {
      const answer = await call("POST", path, body);
      if (this.state.values !== asked) break;
      this.setState({ answer });
      if (answer.compatible !== null) break;
      await new Promise((resolve) => setTimeout(resolve, ASKED_AGAIN));
    }
    this.setState({ isBusy: false });
  }

  async carryOut() {
    const { title, request, done } = this.props.action;
    const { method, path, body } = request(this.state.values);
    const answer = await call(method, path, body);
    done?.(answer);
    if (this.isOpen) this.close();
    change({ notice: { kind: "done", text: t("requested", { what: title }) } });
    refresh();
  }

  render({ action }, { values, answer, isConfirmed, isBusy, refusal }) {
    const { title, fields, final, request, check, said, program = "openstack" } = action;
    const isChecked = answer?.compatible === true;
    const isToCheck = check && !isChecked;
    const words = (isToCheck ? check : request)(values).words;
    return html`<form class="doing" aria-label=${title} ref=${(form) => (this.form = form)} onSubmit=${this.submit}
      onKeyDown=${(event) => event.key === "Escape" && this.close()}>
      <p class="title">${title}</p>
      ${fields.map((field) => html`<${Field} key=${field.name} field=${field} value=${values[field.name]}
        set=${(value) => this.set(field.name, value)} />`)}
      ${words && html`<${CopyText} label=${t(program === "openstack" ? "same_command" : "same_on_host")} text=${commandLine(program, ...words)} />`}
      ${check && html`<div aria-live="polite">${answer && html`<${Answer} answer=${answer} said=${said} />`}</div>`}
      ${final && !isToCheck && html`<label class="confirm">
        <input type="checkbox" required checked=${isConfirmed}
          onChange=${(event) => this.setState({ isConfirmed: event.currentTarget.checked })} />
        <span>${final}</span>
      </label>`}
      <div role="alert">${refusal && html`<${Refusal} error=${refusal} />`}</div>
      <p class="buttons">
        <button class=${final && !isToCheck ? "final" : "main"} aria-disabled=${isBusy ? "true" : undefined}>
          ${isToCheck ? t("check_first") : title}
        </button>
        <button type="button" onClick=${this.close}>${t("cancel")}</button>
      </p>
    </form>`;
  }
}

/** What the back ends say to a change, with the numbers; which ones there are depends on the change. */
function Answer({ answer, said: { yes, no } }) {
  const { compatible, addresses_needed: needed, addresses_free: free, reasons = [], hosts_check_result } = answer;
  const verdict = compatible === null ? t("check_asked") : compatible ? yes : no;
  return html`
    <p class="verdict ${compatible === null ? "busy" : compatible ? "good" : "bad"}">${verdict}</p>
    <ul class="reasons">
      ${needed !== undefined && html`<li>${t("addresses_needed", { n: needed })}${free === null ? "" : ` · ${t("addresses_free", { n: free })}`}</li>`}
      ${answer.export_locations && cuts(answer).map(([text, paths]) => html`<li key=${text}>${text}
        ${paths.slice(0, MOST_NAMED).map((path) => html`<code class="each break" key=${path}>${path}</code> `)}</li>`)}
      ${reasons.map((reason) => html`<li key=${reason}>${reason}</li>`)}
      ${Object.entries(hosts_check_result ?? {}).map(([host, agrees]) => html`<li key=${host}>
        <code>${host}</code>: ${t(agrees === null ? "check_asked" : agrees ? "yes" : "no")}
      </li>`)}
    </ul>
  `;
}

/** What a removal would cut: [text, names]. */
function cuts({ export_locations: locations, access_rules: rules, clients, all_clients: isAll }) {
  const named = [...new Set((clients ?? []).map(({ address }) => address ?? t("not_known")))];
  return [
    [t("cut_locations", { n: locations.length }), locations.map(({ path }) => path)],
    [t("cut_rules", { n: rules.length }), rules.map(({ access_to }) => access_to)],
    [clients === null ? t("cut_clients_not_known") : t(isAll ? "cut_clients" : "cut_clients_at_least", { n: named.length }), named],
  ];
}

function Field({ field: { label, kind, options, required, placeholder }, value, set }) {
  const onInput = (event) => set(event.currentTarget.value);
  const isNumber = kind === "number" || kind === "integer";
  return html`<label>${label}
    ${options
      ? html`<select value=${value} onChange=${onInput}>
          ${options.map(([id, text]) => html`<option key=${id} value=${id} selected=${id === value}>${text}</option>`)}
        </select>`
      : html`<input type=${isNumber ? "number" : (kind ?? "text")} min=${kind === "number" ? 1 : undefined} step=${isNumber ? 1 : undefined} value=${value}
          required=${required} placeholder=${placeholder} spellcheck=${false}
          autocomplete=${kind === "password" ? "new-password" : "off"} onInput=${onInput} />`}
  </label>`;
}
