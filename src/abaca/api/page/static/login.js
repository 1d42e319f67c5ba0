// Who are you? By the method that the service is configured for.

import { Component } from "./vendor/preact.mjs";

import { basicCredentials, keystoneToken, tokenCredentials } from "./api.js";
import { logIn } from "./data.js";
import { html } from "./html.js";
import { Preferences } from "./shell.js";
import { t } from "./text.js";

export class Login extends Component {
  state = { problem: null, isBusy: false };

  submit = async (event) => {
    event.preventDefault();
    const form = Object.fromEntries(new FormData(event.currentTarget));
    const isToken = form.token !== undefined;
    this.setState({ isBusy: true, problem: null });
    try {
      await logIn(await credentialsOf(form, this.props.authStrategy), form.user ?? "");
    } catch (error) {
      this.setState({ isBusy: false, problem: explained(error, isToken) });
    }
  };

  render({ authStrategy, hasEnded }, { problem, isBusy }) {
    return html`<main class="login">
      <h1>Abaca</h1>
      <p class="problem" role="alert">${problem ?? (hasEnded && !isBusy ? t("session_ended") : null)}</p>
      ${authStrategy !== "noauth" && html`<form onSubmit=${this.submit}>
        ${authStrategy === "http_basic" ? PasswordFields() : KeystoneFields()}
        <button class="main" disabled=${isBusy}>${t("log_in")}</button>
      </form>`}
      ${authStrategy !== "http_basic" && html`<form onSubmit=${this.submit}>
        ${TokenFields()}
        <button class="main" disabled=${isBusy}>${t("log_in_by_token")}</button>
      </form>`}
      <p class="quiet">${t("memory_only")}</p>
      <${Preferences} />
    </main>`;
  }
}

async function credentialsOf({ token, user, password, domain, project }, authStrategy) {
  if (token !== undefined) return tokenCredentials(token.trim());
  if (authStrategy === "http_basic") return basicCredentials(user, password);
  return tokenCredentials(await keystoneToken({ user, password, domain, project }));
}

function explained(error, isToken) {
  if (error.status === 0) return t("no_answer");
  if (error.status === 401) return t(isToken ? "login_token_refused" : "login_refused");
  return error.message;
}

function KeystoneFields() {
  return html`
    <label>${t("user")}<input name="user" autocomplete="username" autocapitalize="none" required /></label>
    <label>${t("password")}
      <input name="password" type="password" autocomplete="current-password" required />
    </label>
    <label>${t("project_name")}<input name="project" autocomplete="off" required /></label>
    <label>${t("user_domain")}<input name="domain" value="Default" autocomplete="off" required /></label>
  `;
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
