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

/** A token of Keystone's for a project, by way of the service. Throws Refused. */
export async function keystoneToken({ user, domain, password, project }) {
  const named = (name) => ({ name, domain: { name: domain } });
  const auth = {
    identity: { methods: ["password"], password: { user: { ...named(user), password } } },
    scope: { project: named(project) },
  };
  const answer = await request("POST", "v3/auth/tokens", { "Content-Type": "application/json" }, { auth });
  return answer.headers.get("x-subject-token");
}

/** What the API answers, decoded; null without a body. Throws Refused. */
export async function call(method, path, body, more = {}, signal = undefined) {
  const answer = await request(method, path, { ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...more }, body, signal);
  const text = await answer.text();
  return text ? JSON.parse(text) : null;
}

async function request(method, path, more, body, signal) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: { ...credentials, "X-OpenStack-Manila-API-Version": VERSION, ...more },
      body: body === undefined ? undefined : JSON.stringify(body),
      // The browser keeps no credentials of its own, and does not ask for any after a 401.
      credentials: "omit",
      cache: "no-store",
      redirect: "error",
      signal,
    });
  } catch {
    throw new Refused(0, "", null);
  }
  if (!answer.ok && answer.status !== 304) {
    throw new Refused(answer.status, messageOf(await answer.text()), answer.headers.get("x-openstack-request-id"));
  }
  return answer;
}

export const get = (path) => call("GET", path);

/** As `get`, for what nobody waits for: the service carries it out beside the requests of others, one
 * at a time (RFC 9218). `signal` gives it up, for browsers have few connections. */
export const getInTheBackground = (path, signal) => call("GET", path, undefined, { Priority: "u=6" }, signal);

/** Whether anything has changed since the version with that tag: {isNew, tag}. Throws Refused. */
export async function changedSince(path, tag) {
  const answer = await request("GET", path, tag ? { "If-None-Match": tag } : {});
  return { isNew: answer.status !== 304, tag: answer.headers.get("etag") ?? tag };
}

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
