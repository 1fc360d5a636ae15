// The live tail: new rows on top, while the reader is at the top and has not stopped it. Otherwise they wait, so
// that nothing jumps.
import { useCallback, useEffect, useRef, useState } from '../../html.js';
import { listen } from '../../api.js';

/** Rows that are shown, and rows that wait. */
const MOST_ROWS = 2000;
const MOST_WAITING = 1000;

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
    /** @param {string} event @param {any} data */
    const heard = (event, data) => {
      if (event === 'missed') return setMissed((before) => before + data.records);
      if (event !== 'rows') return;
      /** @type {Row[]} */
      const fresh = [...data.rows].sort((one, other) => (one.time < other.time ? 1 : one.time > other.time ? -1 : 0));
      if (!paused.current && (list.current?.scrollTop ?? 0) > 8) setPaused(true);
      if (!paused.current) return setRows((before) => [...fresh, ...before].slice(0, MOST_ROWS));
      const all = [...fresh, ...queue.current];
      queue.current = all.slice(0, MOST_WAITING);
      if (all.length > MOST_WAITING) setMissed((before) => before + all.length - MOST_WAITING);
      setWaiting(queue.current.length);
    };
    listen('tail', asked, stop.signal, heard, setError);
    return () => stop.abort();
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
