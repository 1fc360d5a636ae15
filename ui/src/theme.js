// Light or dark: as the system says, until the reader says otherwise.
import { load, store } from './kept.js';

const KEY = 'bywash.theme';

/** @returns {'light' | 'dark'} */
export function theme() {
  const chosen = load(KEY, null);
  if (chosen === 'light' || chosen === 'dark') return chosen;
  return matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
}

/** Puts it on the page. Called before anything is drawn. */
export function applyTheme() {
  document.documentElement.dataset.theme = theme();
}

export function turnTheme() {
  store(KEY, theme() === 'dark' ? 'light' : 'dark');
  applyTheme();
  dispatchEvent(new Event('theme'));
}

/** A colour of the style sheet: for what is drawn on a canvas. @param {string} name */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  applyTheme();
  dispatchEvent(new Event('theme'));
});
