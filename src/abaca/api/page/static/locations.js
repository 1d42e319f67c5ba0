// Export locations and the subnets that they are on.

import { contains, parseAddress, parseSubnet } from "./addresses.js";
import { parts } from "./commands.js";

/** The address in an export location, parsed; null without one. */
export function addressOf(location) {
  return parseAddress(parts(location.path)?.address ?? "");
}

/** Which of these share network subnets it is on; undefined: none. */
export function subnetOf(location, subnets) {
  const address = addressOf(location);
  return subnets.find(({ cidr }) => cidr && contains(parseSubnet(cidr), address));
}
