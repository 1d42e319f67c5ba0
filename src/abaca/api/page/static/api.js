// Requests of the API. Who asks is known here only, in memory: a reload forgets it.

const VERSION = "2.99";

let credentials = null;

/** An answer that is not a success; its message is for people. */
export class Refused extends Error {
  constructor(status, message, requestId) {
    super(message);
    this.status = status;
    this.requestId = requestId;
  }
}

export function useCredentials(headers) {
  credentials = headers;
}

/** A user's password, or the secret of an application token. */
export function basicCredentials(name, password) {
  const bytes = new TextEncoder().encode(`${name}:${password}`);
  return { Authorization: `Basic ${btoa(String.fromCharCode(...bytes))}` };
}

export function tokenCredentials(token) {
  return { "X-Auth-Token": token };
}

/** What the API answers, decoded; null without a body. Throws Refused. */
export async function call(method, path, body) {
  const headers = { ...credentials, "X-OpenStack-Manila-API-Version": VERSION };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      // The browser keeps no credentials of its own, and does not ask for any after a 401.
      credentials: "omit",
      cache: "no-store",
      redirect: "error",
    });
  } catch {
    throw new Refused(0, "", null);
  }
  const text = await answer.text();
  if (!answer.ok) {
    throw new Refused(answer.status, messageOf(text), answer.headers.get("x-openstack-request-id"));
  }
  return text ? JSON.parse(text) : null;
}

export const get = (path) => call("GET", path);

/** The settings of this page, which are the same for everybody. */
export async function settings() {
  const answer = await fetch("settings.json", { credentials: "omit" });
  return answer.json();
}

/** The message of a fault: Manila's format, or Neutron's. */
function messageOf(text) {
  try {
    const [fault] = Object.values(JSON.parse(text));
    return fault.message ?? String(fault);
  } catch {
    return text.slice(0, 500);
  }
}
