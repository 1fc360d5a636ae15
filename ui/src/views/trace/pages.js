// Pages of traces, the latest first.
import { useEffect, useRef, useState } from '../../html.js';
import { get, url } from '../../api.js';

/**
 * @typedef {{ traces: TraceSummary[], cursor: string | null, complete: boolean, loading: boolean,
 *   error: Error | null }} Pages
 */

/** @param {import('../../api.js').Asked} asked @param {number} round @returns {Pages & { older: () => void }} */
export function useTraces(asked, round) {
  const [pages, setPages] = useState(
    /** @type {Pages} */ ({ traces: [], cursor: null, complete: true, loading: true, error: null }),
  );
  const question = url('traces', asked);
  const stop = useRef(new AbortController());
  useEffect(() => {
    const mine = new AbortController();
    stop.current = mine;
    setPages((before) => ({ ...before, loading: true, error: null }));
    get('traces', asked, mine.signal).then(
      (/** @type {TracesAnswer} */ data) => mine.signal.aborted || setPages({ ...data, loading: false, error: null }),
      (error) => mine.signal.aborted || setPages({ traces: [], cursor: null, complete: true, loading: false, error }),
    );
    return () => mine.abort();
  }, [question, round]);
  const older = () => {
    if (!pages.cursor || pages.loading) return;
    const { signal } = stop.current;
    setPages((before) => ({ ...before, loading: true }));
    get('traces', { ...asked, cursor: pages.cursor }, signal).then(
      (/** @type {TracesAnswer} */ data) =>
        signal.aborted ||
        setPages((before) => ({
          ...data,
          traces: [...before.traces, ...data.traces],
          complete: before.complete && data.complete,
          loading: false,
          error: null,
        })),
      (error) => signal.aborted || setPages((before) => ({ ...before, loading: false, error })),
    );
  };
  return { ...pages, older };
}
