// What the browser keeps for its reader: past queries, saved views, drafts. Without storage nothing is kept, and
// nothing breaks.

const PAST = 'bywash.queries';
const SAVED = 'bywash.views';
const MOST_PAST = 50;
const MOST_SAVED = 100;

/** @param {string} name @param {any} otherwise @returns {any} */
export function load(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(name) ?? 'null') ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** @param {string} name @param {any} value */
export function store(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
  } catch {
    // Full, or forbidden: as good as not kept.
  }
}

/** The newest first. @returns {string[]} */
export const past = () => load(PAST, []);

/** @param {string} query */
export function remember(query) {
  if (query.trim()) store(PAST, [query, ...past().filter((one) => one !== query)].slice(0, MOST_PAST));
}

/** @typedef {{ name: string, hash: string }} SavedView */

/** @returns {SavedView[]} */
export const savedViews = () => load(SAVED, []);

/** @param {string} name @param {string} hash */
export function saveView(name, hash) {
  store(SAVED, [{ name, hash }, ...savedViews().filter((view) => view.name !== name)].slice(0, MOST_SAVED));
}

/** @param {string} name */
export const forgetView = (name) =>
  store(
    SAVED,
    savedViews().filter((view) => view.name !== name),
  );
