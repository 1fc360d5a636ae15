// Numbers, and texts from outside, as a reader sees them.

/** @param {number} number */
export const count = (number) => number.toLocaleString('en').replaceAll(',', '\u202f');

/** A number in four characters or so. @param {number} number */
export function short(number) {
  const size = Math.abs(number);
  if (size >= 1e9) return `${trim(number / 1e9)} G`;
  if (size >= 1e6) return `${trim(number / 1e6)} M`;
  if (size >= 1e4) return `${trim(number / 1e3)} k`;
  return size >= 100 || Number.isInteger(number) ? String(Math.round(number)) : trim(number);
}

/** @param {number} number */
const trim = (number) => String(Number(number.toPrecision(3)));

/** @param {number} size */
export function bytes(size) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let at = 0;
  while (size >= 1024 && at < units.length - 1) [size, at] = [size / 1024, at + 1];
  return `${at ? trim(size) : Math.round(size)} ${units[at]}`;
}

/** @param {number} number @param {string} one @param {string} [many] */
export const plural = (number, one, many = one + 's') => `${count(number)} ${number === 1 ? one : many}`;

/** @param {Record<string, number> | undefined | null} numbers */
export const sum = (numbers) => Object.values(numbers ?? {}).reduce((all, one) => all + one, 0);

/**
 * A text from outside, of which nothing is hidden and nothing acts: control characters have their pictures,
 *   signs that turn
 * the direction of writing their names.
 * @param {string} text
 */
export function visible(text) {
  return text
    .replace(/[\u0000-\u0008\u000b-\u001f]/g, (sign) =>
      sign === '\r' ? '␍' : String.fromCharCode(0x2400 + sign.charCodeAt(0)),
    )
    .replace(/[\u007f-\u009f]/g, '␡')
    .replace(/[\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g, (sign) => `⟨U+${hex(sign)}⟩`);
}

/** @param {string} sign */
const hex = (sign) => sign.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0');

/** The beginning of a text for a line of a list. @param {string} text @param {number} most */
export const line = (text, most = 600) =>
  visible(text.length > most ? text.slice(0, most) + '…' : text).replace(/\n/g, ' ⏎ ');

/** A value of an attribute as a text. @param {any} value @returns {string} */
export function shown(value) {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}

/** @param {string} text */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without a secure origin there is no clipboard; the old way needs a field to copy from.
    const field = document.createElement('textarea');
    field.value = text;
    field.className = 'offscreen';
    document.body.append(field);
    field.select();
    document.execCommand('copy');
    field.remove();
  }
}
