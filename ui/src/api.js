// Questions to `/api`. Knows the token and nothing of what is asked.
import { useEffect, useRef, useState } from './html.js';
import { events } from './events.js';

const TOKEN = 'bywash.token';

/** An answer that is none, with what to tell the reader. */
export class ApiError extends Error {
  /**
   * @param {number} status 0: nobody answered
   * @param {string} message
   * @param {{ at?: number | null, line?: number | null }} [where]
   */
  constructor(status, message, { at = null, line = null } = {}) {
    super(message);
    this.status = status;
    /** Characters of the expression before what is wrong. */
    this.at = at;
    this.line = line;
  }
}

/** @type {Set<() => void>} */
const asked = new Set();
/** Calls when a token is asked for. @param {() => void} call */
export function whenTokenIsAsked(call) {
  asked.add(call);
  return () => asked.delete(call);
}

export const token = () => sessionStorage.getItem(TOKEN);
/** @param {string} text */
export function setToken(text) {
  sessionStorage.setItem(TOKEN, text);
  dispatchEvent(new Event('token'));
}

/** @typedef {Record<string, string | number | bigint | boolean | null | undefined | string[]>} Asked */

/** @param {string} path below /api @param {Asked} [params] */
export function url(path, params = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value === null || value === undefined || value === '' || value === false) continue;
    for (const one of [value].flat()) query.append(name, String(one));
  }
  const text = query.toString();
  return `/api/${path}${text ? '?' + text : ''}`;
}

/** @param {string} address @param {RequestInit} [how] */
export async function request(address, how = {}) {
  const headers = new Headers(how.headers);
  const secret = token();
  if (secret) headers.set('Authorization', `Bearer ${secret}`);
  let response;
  try {
    response = await fetch(address, { ...how, headers, cache: 'no-store' });
  } catch (error) {
    if (/** @type {Error} */ (error).name === 'AbortError') throw error;
    throw new ApiError(0, 'Bywash does not answer. Is the process still running?');
  }
  if (response.ok) return response;
  if (response.status === 401) for (const call of asked) call();
  const wrong = await response.json().catch(() => ({}));
  throw new ApiError(response.status, wrong.error ?? `${response.status} ${response.statusText}`, wrong);
}

/** @param {string} path @param {Asked} [params] @param {AbortSignal} [signal] @returns {Promise<any>} */
export async function get(path, params, signal) {
  return (await request(url(path, params), { signal })).json();
}

/** @param {string} path @param {object} body @param {Asked} [params] @returns {Promise<any>} */
export async function post(path, body, params) {
  const how = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) };
  return (await request(url(path, params), how)).json();
}

/** Waits for an event of the window, or until it is told not to. @param {string} name @param {AbortSignal} signal */
function event(name, signal) {
  return new Promise((done) => {
    addEventListener(name, done, { once: true, signal });
    signal.addEventListener('abort', done, { once: true });
  });
}

/**
 * Hears a stream until it is told not to; comes back after a break, with a growing wait.
 * @param {string} path @param {Asked} params @param {AbortSignal} signal
 * @param {(event: string, data: any) => void} heard
 * @param {(error: ApiError | null) => void} state null: it flows
 */
export async function listen(path, params, signal, heard, state) {
  let wait = 500;
  while (!signal.aborted) {
    try {
      const response = await request(url(path, params), { signal, headers: { Accept: 'text/event-stream' } });
      state(null);
      for await (const one of events(response)) {
        wait = 500;
        heard(one.event, JSON.parse(one.data));
      }
      if (!signal.aborted) state(new ApiError(0, 'The stream ended; trying again.'));
    } catch (error) {
      if (signal.aborted) return;
      const failed = error instanceof ApiError ? error : new ApiError(0, String(error));
      state(failed);
      if (failed.status === 401) {
        await event('token', signal);
        continue;
      }
      if (failed.status >= 400 && failed.status < 500 && failed.status !== 429) return;
    }
    await new Promise((done) => {
      setTimeout(done, wait);
      signal.addEventListener('abort', done, { once: true });
    });
    wait = Math.min(wait * 2, 15_000);
  }
}

/**
 * @template T
 * @typedef {{ data: T | null, error: ApiError | null, loading: boolean }} Answer
 */

/**
 * Asks whenever the question changes; an earlier one is given up, its answer shown until the next is there.
 * @param {string | null} path null: nothing is asked
 * @param {Asked} [params]
 * @param {unknown} [round] another value asks again
 * @returns {Answer<any>}
 */
export function useAnswer(path, params, round) {
  const [answer, setAnswer] = useState(/** @type {Answer<any>} */ ({ data: null, error: null, loading: true }));
  const question = path === null ? null : url(path, params);
  const of = useRef(/** @type {string | null} */ (null));
  useEffect(() => {
    if (question === null) return setAnswer({ data: null, error: null, loading: false });
    const stop = new AbortController();
    const isOther = of.current !== path;
    of.current = path;
    setAnswer((before) => ({ data: isOther ? null : before.data, error: null, loading: true }));
    request(question, { signal: stop.signal })
      .then((response) => response.json())
      .then(
        (data) => stop.signal.aborted || setAnswer({ data, error: null, loading: false }),
        (error) => stop.signal.aborted || setAnswer((before) => ({ data: before.data, error, loading: false })),
      );
    return () => stop.abort();
  }, [question, round]);
  return answer;
}
