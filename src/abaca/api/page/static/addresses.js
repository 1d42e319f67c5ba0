// Addresses and subnets of both families, as numbers.

/** {family, bits, value}, or null for text that is no address. */
export function parseAddress(text) {
  return text.includes(":") ? parse6(text) : parse4(text);
}

/** {family, bits, value, length}, or null. An address alone is a subnet of one. */
export function parseSubnet(text) {
  const [address, length, ...rest] = text.split("/");
  const parsed = parseAddress(address);
  if (!parsed || rest.length || (length !== undefined && !/^\d{1,3}$/.test(length))) return null;
  const bits = length === undefined ? parsed.bits : Number(length);
  return bits <= parsed.bits ? { ...parsed, length: bits } : null;
}

export function contains(subnet, address) {
  if (!subnet || !address || subnet.family !== address.family) return false;
  const shift = BigInt(subnet.bits - subnet.length);
  return subnet.value >> shift === address.value >> shift;
}

/** How many addresses there are in it, as a BigInt. */
export function sizeOf(subnet) {
  return 1n << BigInt(subnet.bits - subnet.length);
}

function parse4(text) {
  const numbers = text.split(".");
  if (numbers.length !== 4 || !numbers.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && part < 256)) {
    return null;
  }
  return { family: 4, bits: 32, value: numbers.reduce((sum, part) => (sum << 8n) + BigInt(part), 0n) };
}

function parse6(text) {
  const tail = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (tail) {
    const four = parse4(tail[2]);
    if (!four) return null;
    text = `${tail[1]}${(four.value >> 16n).toString(16)}:${(four.value & 0xffffn).toString(16)}`;
  }
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const [head, rest] = halves.map((half) => (half ? half.split(":") : []));
  const missing = 8 - head.length - (rest?.length ?? 0);
  if (halves.length === 1 ? missing !== 0 : missing < 1) return null;
  const groups = [...head, ...Array(halves.length === 1 ? 0 : missing).fill("0"), ...(rest ?? [])];
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return null;
  return {
    family: 6,
    bits: 128,
    value: groups.reduce((sum, group) => (sum << 16n) + BigInt(`0x${group}`), 0n),
  };
}
