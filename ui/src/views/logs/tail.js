// The live tail: new rows on top, while the reader is at the top and has not stopped it. Otherwise they wait, so
// that nothing jumps.
import { useCallback, useEffect, useRef, useState } from '../../html.js';
import { listen } from '../../api.js';

/** Rows that are shown, and rows that wait. */
const MOST_ROWS = 500;
const MOST_WAITING = 1000;
/** Between two changes of what is shown, in milliseconds: an eye reads no faster. */
const BREATH = 250;
/** So many times as long as the last change took is the page left alone: it answers keys where drawing is slow. */
const REST = 3;

/**
 * @typedef {{ rows: Row[], ids: Set<string>, waiting: number, missed: number, isPaused: boolean, error: Error | null,
 *   pause: () => void, resume: () => void, hold: () => void }} Tail
 */

/**
 * @param {boolean} isOn @param {import('../../api.js').Asked} asked
 * @param {{ current: HTMLElement | null }} list what scrolls
 * @returns {Tail}
 */
export function useTail(isOn, asked, list) {
  const [rows, setRows] = useState(/** @type {Row[]} */ ([]));
  const [waiting, setWaiting] = useState(0);
  const [missed, setMissed] = useState(0);
  const [isPaused, setIsPaused] = useState(false);
  const [error, setError] = useState(/** @type {Error | null} */ (null));
  const paused = useRef(false);
  const queue = useRef(/** @type {Row[]} */ ([]));
  const setPaused = (/** @type {boolean} */ is) => {
    paused.current = is;
    setIsPaused(is);
  };
  useEffect(() => {
    queue.current = [];
    setRows([]);
    setWaiting(0);
    setMissed(0);
    setPaused(false);
    if (!isOn) return;
    const stop = new AbortController();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    let breath = BREATH;
    const show = () => {
      timer = undefined;
      if (!paused.current && (list.current?.scrollTop ?? 0) > 8) setPaused(true);
      if (paused.current) return setWaiting(queue.current.length);
      const fresh = queue.current;
      queue.current = [];
      setRows((before) => [...fresh, ...before].slice(0, MOST_ROWS));
      const began = performance.now();
      const drawn = () => (breath = Math.max(BREATH, (performance.now() - began) * REST));
      requestAnimationFrame(() => setTimeout(drawn));
    };
    /** @param {string} event @param {any} data */
    const heard = (event, data) => {
      if (event === 'missed') return setMissed((before) => before + data.records);
      if (event !== 'rows') return;
      const fresh = [...data.rows].sort((one, other) => (one.time < other.time ? 1 : one.time > other.time ? -1 : 0));
      const all = [...fresh, ...queue.current];
      const most = paused.current ? MOST_WAITING : MOST_ROWS;
      queue.current = all.slice(0, most);
      if (all.length > most) setMissed((before) => before + all.length - most);
      timer ??= setTimeout(show, breath);
    };
    listen('tail', asked, stop.signal, heard, setError);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [isOn, JSON.stringify(asked)]);
  const resume = useCallback(() => {
    const fresh = queue.current;
    queue.current = [];
    setPaused(false);
    setWaiting(0);
    setRows((before) => [...fresh, ...before].slice(0, MOST_ROWS));
    list.current?.scrollTo({ top: 0 });
  }, []);
  const pause = useCallback(() => setPaused(true), []);
  // A row that is open is being read.
  const hold = useCallback(() => isOn && setPaused(true), [isOn]);
  return { rows, ids: new Set(rows.map((row) => row.id)), waiting, missed, isPaused, error, pause, resume, hold };
}
