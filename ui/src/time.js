// Points and lengths of time. Nanoseconds since 1970 do not fit a double: they are BigInts here.

const SECOND = 1_000_000_000n;

/**
 * Reads what the API writes: digits, a number, or RFC 3339 with up to nine digits of a second.
 * @param {Written | bigint | null | undefined} written
 * @returns {bigint}
 */
export function nanos(written) {
  if (typeof written === 'bigint') return written;
  if (typeof written === 'number') return Number.isFinite(written) ? BigInt(Math.round(written)) : 0n;
  if (!written) return 0n;
  if (/^\d+$/.test(written)) return BigInt(written);
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(written);
  const whole = match ? Date.parse(match[1] + match[3]) : NaN;
  if (!match || Number.isNaN(whole)) return 0n;
  return BigInt(whole) * 1_000_000n + BigInt((match[2] ?? '').padEnd(9, '0'));
}

/** @param {bigint} time @returns {number} milliseconds since 1970 */
export const millis = (time) => Number(time / 1_000_000n);

/** @param {number} time milliseconds since 1970 @returns {bigint} */
export const fromMillis = (time) => BigInt(Math.round(time)) * 1_000_000n;

/** @param {number} number @param {number} width */
const padded = (number, width) => String(number).padStart(width, '0');

/**
 * The clock's time where the reader is, with the day if that is not today.
 * @param {bigint} time
 * @param {{ digits?: number, day?: boolean }} [how] digits of a second
 */
export function clock(time, { digits = 3, day } = {}) {
  const date = new Date(millis(time));
  const text = `${padded(date.getHours(), 2)}:${padded(date.getMinutes(), 2)}:${padded(date.getSeconds(), 2)}`;
  const part = digits ? '.' + padded(Number(time % SECOND), 9).slice(0, digits) : '';
  const isToday = date.toDateString() === new Date().toDateString();
  const before = (day ?? !isToday) ? `${padded(date.getMonth() + 1, 2)}-${padded(date.getDate(), 2)} ` : '';
  return before + text + part;
}

/** The same with all nine digits and the zone: for titles and copies. @param {bigint} time */
export function exact(time) {
  return new Date(millis(time)).toISOString().slice(0, 19) + '.' + padded(Number(time % SECOND), 9) + 'Z';
}

/** @type {[number, string][]} */
const UNITS = [
  [86_400e9, 'd'],
  [3600e9, 'h'],
  [60e9, 'min'],
  [1e9, 's'],
  [1e6, 'ms'],
  [1e3, 'µs'],
  [1, 'ns'],
];

/** A length of time with three digits. @param {bigint | number} length nanoseconds */
export function duration(length) {
  const size = Number(length);
  if (!size) return '0';
  const [unit, name] = UNITS.find(([unit]) => Math.abs(size) >= unit) ?? [1, 'ns'];
  const value = size / unit;
  return `${value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)))} ${name}`;
}

/** Reads `250ms`, `1.5 s`, `2m`; null if it is none. @param {string} text @returns {bigint | null} */
export function readDuration(text) {
  const match = /^\s*(\d+(?:\.\d+)?)\s*(ns|us|µs|ms|s|m|min|h|d)\s*$/.exec(text);
  if (!match) return null;
  const unit = { us: 1e3, m: 60e9 }[match[2]] ?? UNITS.find(([, name]) => name === match[2])?.[0] ?? 1;
  return BigInt(Math.round(Number(match[1]) * unit));
}

/** What the picker of the window offers. @type {[string, string][]} */
export const RANGES = [
  ['15m', 'Last 15 min'],
  ['1h', 'Last hour'],
  ['6h', 'Last 6 h'],
  ['24h', 'Last 24 h'],
  ['7d', 'Last 7 days'],
];
export const DEFAULT_RANGE = '1h';

/**
 * The window that a URL asks for.
 * @param {URLSearchParams} params
 * @param {number} now milliseconds since 1970
 * @returns {{ start: bigint, end: bigint }}
 */
export function readWindow(params, now) {
  const [from, to] = [nanos(params.get('from')), nanos(params.get('to'))];
  if (to > from) return { start: from, end: to };
  const length = readDuration(params.get('range') ?? DEFAULT_RANGE) ?? 3600n * SECOND;
  // Whole seconds, so that what is asked twice within one is the same question.
  const end = BigInt(Math.ceil(now / 1000)) * SECOND;
  return { start: end - length, end };
}
