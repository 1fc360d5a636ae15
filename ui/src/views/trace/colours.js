// A colour for a service: the same in every view, and nearly always the same tomorrow.

const COLOURS = 10;
/** Two services share a colour only when there are more services than colours. @type {Map<string, number>} */
const given = new Map();

/** @param {string} service @returns {string} a class of the style sheet */
export function serviceClass(service) {
  const known = given.get(service);
  if (known !== undefined) return `s${known}`;
  let hash = 0x811c9dc5;
  for (let at = 0; at < service.length; at++) hash = Math.imul(hash ^ service.charCodeAt(at), 0x01000193) >>> 0;
  let colour = ((hash ^ (hash >>> 15)) >>> 0) % COLOURS;
  const taken = new Set(given.values());
  for (let tries = 0; taken.has(colour) && tries < COLOURS; tries++) colour = (colour + 3) % COLOURS;
  given.set(service, colour);
  return `s${colour}`;
}
