// One trace: minimap, waterfall, and what is known of the span that is chosen.
import { html, useCallback, useEffect, useMemo, useRef, useState } from '../../html.js';
import { useAnswer } from '../../api.js';
import { address, change } from '../../place.js';
import { useKeys } from '../../keys.js';
import { clock, duration, exact } from '../../time.js';
import { copy, count, line, plural } from '../../text.js';
import { traceId } from '../../query.js';
import { Broken, Wait } from '../../parts/notice.js';
import { build, lines, matches } from './tree.js';
import { Minimap } from './minimap.js';
import { Waterfall } from './waterfall.js';
import { Details } from './details.js';
import { serviceClass } from './colours.js';

/** @typedef {import('./tree.js').Node} Node */
/** @typedef {import('./tree.js').Line} Line */

/** @param {{ id: string, context: Context }} props */
export function Trace({ id, context }) {
  const known = traceId(id) ?? id;
  const { data, error } = useAnswer(`traces/${encodeURIComponent(known)}`, { tenant: context.tenant }, context.round);
  const tree = useMemo(() => (data ? build(data.spans, data.logs) : null), [data]);
  if (error && !data)
    return html`<div class="view"><${Broken} error=${error} /><p class="buttons"><a class="button"
      href=${address('traces')}>All traces</a></p></div>`;
  return tree
    ? html`<${Shown} id=${known} tree=${tree} isComplete=${data.complete} context=${context} />`
    : html`<${Wait} />`;
}

/** @param {{ id: string, tree: import('./tree.js').Tree, isComplete: boolean, context: Context }} props */
function Shown({ id, tree, isComplete, context }) {
  const whole = { from: 0, to: tree.length };
  const [folded, setFolded] = useState(/** @type {Set<Node>} */ (new Set()));
  const [zoom, setZoom] = useState(whole);
  const [withLogs, setWithLogs] = useState(true);
  const [text, setText] = useState('');
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  const shown = useMemo(() => lines(tree, folded, withLogs), [tree, folded, withLogs]);
  const asked = context.params.get('span');
  const first = () =>
    /** @type {Node | Row | null} */ (tree.nodes.find((node) => node.row.span_id === asked) ?? null);
  const [chosen, setChosen] = useState(first);
  useEffect(() => setZoom(whole), [tree]);
  const at = useMemo(() => shown.findIndex((one) => (one.log ?? one.node) === chosen), [shown, chosen]);
  const found = useMemo(() => {
    const typed = text.trim().toLowerCase();
    return typed ? tree.nodes.filter((node) => matches(node, typed)) : [];
  }, [tree, text]);
  const foundSet = useMemo(() => new Set(found), [found]);

  const choose = useCallback((/** @type {Node | Row | null} */ one) => {
    setChosen(one);
    const span = one && 'row' in one ? one.row.span_id : null;
    if (span) change({ span }, true);
  }, []);
  const fold = useCallback(
    (/** @type {Node} */ node, /** @type {boolean | undefined} */ is = undefined) =>
      setFolded((before) => {
        const next = new Set(before);
        (is ?? !next.has(node)) ? next.add(node) : next.delete(node);
        return next;
      }),
    [],
  );
  /** @param {Node} node */
  const reveal = (node) => {
    setFolded((before) => {
      const next = new Set(before);
      for (let above = node.parent; above; above = above.parent) next.delete(above);
      return next;
    });
    choose(node);
  };
  const step = (/** @type {number} */ by) => {
    const next = shown[at < 0 ? 0 : Math.min(Math.max(at + by, 0), shown.length - 1)];
    if (next) choose(next.log ?? next.node);
  };
  const nextFound = (/** @type {number} */ by) => {
    if (!found.length) return;
    const now = found.indexOf(/** @type {Node} */ (chosen));
    reveal(found[(now + by + found.length + (now < 0 && by < 0 ? 1 : 0)) % found.length]);
  };
  const node = chosen && 'row' in chosen ? chosen : null;
  const left = () => {
    if (!node) return;
    if (node.children.length + node.logs.length && !folded.has(node)) fold(node, true);
    else if (node.parent) choose(node.parent);
  };
  const scale = (/** @type {number} */ factor) =>
    setZoom((before) => {
      const middle = node
        ? Math.min(Math.max((node.start + node.end) / 2, before.from), before.to)
        : (before.from + before.to) / 2;
      const half = Math.max(((before.to - before.from) * factor) / 2, 5);
      return { from: Math.max(0, middle - half), to: Math.min(tree.length, middle + half) };
    });
  const right = () => node && fold(node, false);
  useKeys(
    {
      j: () => step(1),
      k: () => step(-1),
      ArrowDown: () => step(1),
      ArrowUp: () => step(-1),
      PageDown: () => step(20),
      PageUp: () => step(-20),
      h: left,
      ArrowLeft: left,
      l: right,
      ArrowRight: right,
      n: () => nextFound(1),
      N: () => nextFound(-1),
      Home: () => shown[0] && choose(shown[0].log ?? shown[0].node),
      End: () => step(shown.length),
      '+': () => scale(0.5),
      '=': () => scale(0.5),
      '-': () => scale(2),
      0: () => setZoom(whole),
      Escape: () => choose(null),
    },
    [shown, at, chosen, found, folded],
  );

  const root = tree.roots[0]?.row;
  const failed = tree.nodes.filter((one) => one.failed).length;
  return html`<div class="view trace ${chosen ? 'has-details' : ''}">
    <div class="trace-main">
      <div class="trace-head">
        <a href=${address('traces')} class="muted" aria-label="All traces">‹ Traces</a>
        <h1>${root && html`<span class=${`tag ${serviceClass(root.service)}`}>${line(root.service, 60)}</span>`}<bdi>
        ${root ? line(root.body, 300) : 'Log records only'}</bdi></h1>
        <p class="muted facts"><span title=${exact(tree.began)}>${clock(tree.began)}</span><b>${duration(tree.length)}
        </b>
          <span>${plural(tree.nodes.length, 'span')}</span><span>${plural(tree.services.length, 'service')}</span>
          <span>depth ${tree.depth + 1}</span>
          ${failed > 0 && html`<span class="bad">${plural(failed, 'error')}</span>`}
          <button class="link mono" title="Copy the id" onClick=${() => copy(id)}>${id}</button>
          <a href=${address('logs', { q: `trace:${id}`, ...around(tree) })}>its logs</a></p>
        ${!isComplete && html`<p
        class="warn">The trace is larger than what is shown: the newest 10 000 spans and records.</p>`}
      </div>
      <div class="tools">
        <div class="find"><input data-box type="search" aria-label="Find in this trace"
        placeholder="name, attribute=value, log text" value=${text}
          onInput=${(/** @type {any} */ e) => setText(e.target.value)}
          onKeyDown=${(/** @type {KeyboardEvent} */ e) => e.key === 'Enter' && (e.preventDefault(),
          nextFound(e.shiftKey ? -1 : 1))} />
          ${
            text.trim() &&
            html`<span class="muted" role="status">
              ${found.length ? `${count(found.indexOf(/** @type {Node} */ (chosen)) + 1)} of ${count(found.length)}`
              : 'none'}</span>
            <button class="icon" aria-label="The match before" onClick=${() => nextFound(-1)}>↑</button><button
            class="icon" aria-label="Next match" onClick=${() => nextFound(1)}>↓</button>`
          }</div>
        <span class="tools-end"><label class="check"><input type="checkbox" checked=${withLogs}
        onChange=${() => setWithLogs(!withLogs)} />logs between</label>
          <button class="small" onClick=${() => setFolded(folded.size ? new Set() : new Set(tree.nodes.filter((one) =>
          one.children.length > 0 && one.depth > 0)))}>${folded.size ? 'Unfold all' : 'Fold all'}</button>
          <button class="small" disabled=${zoom.from === 0 && zoom.to === tree.length}
          onClick=${() => setZoom(whole)}>Whole (0)</button></span>
      </div>
      <${Minimap} tree=${tree} zoom=${zoom} onZoom=${setZoom} />
      <${Waterfall} list=${list} tree=${tree} lines=${shown} at=${at} folded=${folded} found=${foundSet} zoom=${zoom}
        onZoom=${setZoom} onChoose=${choose} onFold=${fold} />
    </div>
    ${chosen && html`<${Details} one=${chosen} tree=${tree} context=${context} onChoose=${choose}
    onClose=${() => choose(null)} />`}
  </div>`;
}

/**
 * A window of time that has the whole trace in it, and a minute on both sides.
 * @param {import('./tree.js').Tree} tree
 */
function around({ began, length }) {
  const minute = 60_000_000_000n;
  return { from: String(began - minute), to: String(began + BigInt(Math.ceil(length)) + minute), range: null };
}
