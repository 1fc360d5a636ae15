// The URL: which view, and what it shows. Everything behind `#`, so that the server needs to know one page only.
import { useEffect, useState } from './html.js';

/** Parameters that go along to every other view. */
const SHARED = ['range', 'from', 'to', 'tenant', 'every'];

/** @typedef {{ path: string[], params: URLSearchParams }} Place */

/** @returns {Place} */
export function here() {
  const [path, query] = location.hash.replace(/^#\/?/, '').split('?');
  const names = path.split('/').filter(Boolean).map(decoded);
  return { path: names.length ? names : ['logs'], params: new URLSearchParams(query ?? '') };
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * The address of a view; the window and the tenant stay.
 * @param {string | string[]} path
 * @param {Record<string, string | null | undefined>} [params] those that are null are left out
 */
export function address(path, params = {}) {
  const now = here().params;
  const next = new URLSearchParams();
  for (const name of SHARED) if (now.get(name) && !(name in params)) next.set(name, now.get(name) ?? '');
  for (const [name, value] of Object.entries(params)) if (value) next.set(name, value);
  const query = next.toString();
  return '#/' + [path].flat().map(encodeURIComponent).join('/') + (query ? '?' + query : '');
}

/** Goes to a view. @param {string | string[]} path @param {Record<string, string | null | undefined>} [params] */
export function go(path, params) {
  location.hash = address(path, params);
}

/**
 * Changes what the view that is open shows.
 * @param {Record<string, string | null | undefined>} changes null takes a parameter away
 * @param {boolean} [quietly] without a step in the history of the browser
 */
export function change(changes, quietly = false) {
  const { path, params } = here();
  for (const [name, value] of Object.entries(changes)) value ? params.set(name, value) : params.delete(name);
  const query = params.toString();
  const hash = '#/' + path.map(encodeURIComponent).join('/') + (query ? '?' + query : '');
  if (hash === location.hash) return;
  if (!quietly) {
    location.hash = hash;
    return;
  }
  history.replaceState(null, '', hash);
  dispatchEvent(new Event('hashchange'));
}

/** @returns {Place} */
export function usePlace() {
  const [place, setPlace] = useState(here);
  useEffect(() => {
    const moved = () => setPlace(here());
    addEventListener('hashchange', moved);
    return () => removeEventListener('hashchange', moved);
  }, []);
  return place;
}
