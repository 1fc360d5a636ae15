// Pages of rows, the newest first: the first by the question, older ones by its cursor.
import { useEffect, useRef, useState } from '../../html.js';
import { get, url } from '../../api.js';

/** Rows that are kept; more is what an export is for. */
const MOST_ROWS = 10_000;

/**
 * @typedef {{ rows: Row[], cursor: string | null, complete: boolean, counts?: Counts, total?: number, loading: boolean,
 *   error: import('../../api.js').ApiError | null, older: () => void }} Pages
 */

/**
 * @param {import('../../api.js').Asked} asked @param {number} round another asks again
 * @param {string} [path] @returns {Pages}
 */
export function usePages(asked, round, path = 'logs') {
  const [pages, setPages] = useState(
    /** @type {Omit<Pages, 'older'>} */ ({ rows: [], cursor: null, complete: true, loading: true, error: null }),
  );
  const question = url(path, asked);
  const stop = useRef(new AbortController());
  useEffect(() => {
    const mine = new AbortController();
    stop.current = mine;
    setPages((before) => ({ ...before, loading: true, error: null }));
    get(path, asked, mine.signal).then(
      (/** @type {RowsAnswer} */ data) => mine.signal.aborted || setPages({ ...data, loading: false, error: null }),
      // What stood there was the answer to another question.
      (error) => mine.signal.aborted || setPages({ rows: [], cursor: null, complete: true, loading: false, error }),
    );
    return () => mine.abort();
  }, [question, round]);
  const older = () => {
    if (!pages.cursor || pages.loading || pages.rows.length >= MOST_ROWS) return;
    const { signal } = stop.current;
    setPages((before) => ({ ...before, loading: true, error: null }));
    get(path, { ...asked, cursor: pages.cursor }, signal).then(
      (/** @type {RowsAnswer} */ data) =>
        signal.aborted ||
        setPages((before) => ({
          ...before,
          rows: [...before.rows, ...data.rows],
          cursor: data.cursor,
          complete: before.complete && data.complete,
          loading: false,
        })),
      (error) => signal.aborted || setPages((before) => ({ ...before, loading: false, error })),
    );
  };
  return { ...pages, older };
}
