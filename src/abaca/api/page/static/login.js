// Who are you? By the method that the service is configured for.

import { Component } from "./vendor/preact.mjs";

import { basicCredentials, tokenCredentials } from "./api.js";
import { logIn } from "./data.js";
import { html } from "./html.js";
import { Preferences } from "./shell.js";
import { t } from "./text.js";

export class Login extends Component {
  state = { problem: null, isBusy: false };

  submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const isBasic = this.props.authStrategy === "http_basic";
    const user = isBasic ? form.get("user") : "";
    const credentials = isBasic
      ? basicCredentials(user, form.get("password"))
      : tokenCredentials(form.get("token").trim());
    this.setState({ isBusy: true, problem: null });
    try {
      await logIn(credentials, user);
    } catch (error) {
      this.setState({ isBusy: false, problem: explained(error, isBasic) });
    }
  };

  render({ authStrategy }, { problem, isBusy }) {
    return html`<main class="login">
      <h1>Abaca</h1>
      <form onSubmit=${this.submit}>
        ${authStrategy === "http_basic" ? PasswordFields() : TokenFields()}
        <p class="problem" role="alert">${problem}</p>
        <button class="main" disabled=${isBusy}>${t("log_in")}</button>
      </form>
      <p class="quiet">${t("memory_only")}</p>
      <${Preferences} />
    </main>`;
  }
}

function explained(error, isBasic) {
  if (error.status === 0) return t("no_answer");
  if (error.status === 401) return t(isBasic ? "login_refused" : "login_token_refused");
  return error.message;
}

function PasswordFields() {
  return html`
    <label>${t("user")}<input name="user" autocomplete="username" autocapitalize="none" required /></label>
    <label>${t("password")}
      <input name="password" type="password" autocomplete="current-password" required />
    </label>
    <p class="quiet">${t("application_token_hint")}</p>
  `;
}

function TokenFields() {
  return html`
    <label>${t("login_token")}<input name="token" type="password" autocomplete="off" required /></label>
    <p class="quiet">${t("login_token_hint")}</p>
  `;
}
