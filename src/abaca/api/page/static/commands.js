// Text to be copied into a shell or a file. Names and paths in it may be anybody's: they are quoted
// so that a shell takes them for one word, whatever is in them.

const PLAIN = /^[A-Za-z0-9_.,:/@%+=-]+$/;

/** One word of a POSIX shell. */
export function quoted(word) {
  return PLAIN.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** A command line of its words. What no terminal shows as it is (control characters, changes of the
 * direction of writing) is left out: nobody can see what he copies there. */
export function commandLine(...words) {
  return words.map((word) => quoted(visible(String(word)))).join(" ");
}

/** The words of an option; none without a value. A value that looks like another option is joined. */
export function option(name, value) {
  if (!value) return [];
  return looksLikeOption(value) ? [`${name}=${value}`] : [name, value];
}

/** A name as the last word of a command, also one that looks like an option. */
export function positional(name) {
  return looksLikeOption(name) ? ["--", name] : [name];
}

/** What a row is known by (an id, a host), as a word that is no option: no honest one begins so. */
export function known(word) {
  return visible(String(word)).replace(/^-+/, "");
}

/** As it is written, without what is left out. */
function looksLikeOption(word) {
  return visible(String(word)).startsWith("-");
}

/** The text without characters that are not shown, or change how others are shown. */
export function visible(text) {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, "");
}

/** An export location in its parts: `10.0.0.5:/shares/x`, `[fd00::5]:/shares/x`. */
export function parts(location) {
  const found = /^(?:\[([^\]]+)\]|([^:]+)):(\/.*)$/.exec(location);
  if (!found) return null;
  return { address: found[1] ?? found[2], host: found[1] ? `[${found[1]}]` : found[2], folder: found[3] };
}

export function mountCommand(location) {
  return commandLine("mount", "-t", "nfs4", location, "/mnt");
}

/** A line of /etc/fstab, where a blank is written as \040. */
export function fstabLine(location) {
  const field = visible(location).replaceAll("\\", "\\134").replaceAll(" ", "\\040");
  return `${field} /mnt nfs4 _netdev,nofail 0 0`;
}

/** A PersistentVolume. Strings are written as JSON, which YAML takes as they are. */
export function kubernetesVolume(share, location) {
  const { address, folder } = parts(location);
  const text = (value) => JSON.stringify(visible(String(value)));
  return [
    "apiVersion: v1",
    "kind: PersistentVolume",
    "metadata:",
    `  name: ${text(`share-${share.id}`)}`,
    "spec:",
    "  capacity:",
    `    storage: ${text(`${share.size}Gi`)}`,
    "  accessModes: [ReadWriteMany]",
    "  persistentVolumeReclaimPolicy: Retain",
    "  nfs:",
    `    server: ${text(address)}`,
    `    path: ${text(folder)}`,
  ].join("\n");
}
