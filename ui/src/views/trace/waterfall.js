// Spans below each other on a common scale of time, with the log records between them.
import { html, useState } from '../../html.js';
import { Windowed } from '../../parts/windowed.js';
import { duration, nanos } from '../../time.js';
import { count, line } from '../../text.js';
import { serviceClass } from './colours.js';
import { useDrag } from './drag.js';

/** Of a line, in pixels. */
const HEIGHT = 26;
/** Deeper spans are no further to the right; a number says how deep they are, so that names have room. */
const MOST_INDENT = 10;
const INDENT = 12;
const TICKS = 5;

/** @typedef {import('./tree.js').Node} Node */
/** @typedef {import('./drag.js').Stretch} Stretch */

/**
 * @param {{ list: { current: HTMLElement | null }, tree: import('./tree.js').Tree, lines: import('./tree.js').Line[],
 *   at: number, folded: Set<Node>, found: Set<Node>, zoom: Stretch,
 *   onZoom: (zoom: Stretch) => void, onChoose: (one: Node | Row) => void, onFold: (node: Node) => void }} props
 */
export function Waterfall({ list, tree, lines, at, folded, found, zoom, onZoom, onChoose, onFold }) {
  const [width, setWidth] = useState(/** @type {number | null} */ (null));
  const { drag, handlers } = useDrag(zoom, onZoom);
  const length = Math.max(zoom.to - zoom.from, 1);
  const part = (/** @type {number} */ time) => (time - zoom.from) / length;
  const percent = (/** @type {number} */ of) => `${of * 100}%`;
  const draw = (/** @type {number} */ number) => {
    const one = lines[number];
    if (one.log) return logLine(one, number);
    const { node } = one;
    const { row } = node;
    const [from, to] = [part(node.start), part(node.end)];
    const isSeen = to >= 0 && from <= 1;
    const style = {
      left: percent(Math.max(from, 0)),
      width: `max(2px, ${percent(Math.min(to, 1) - Math.max(from, 0))})`,
    };
    const isLate = Math.max(from, 0) > 0.7;
    const kinds = `${serviceClass(row.service)} ${node.failed ? 'failed' : ''} ${node.critical ? 'critical' : ''}`;
    const marks = isSeen
      ? [
          ...node.logs.map((log) => ({ time: Number(nanos(log.time) - tree.began), name: log.severity })),
          ...(row.events ?? []).map((event) => ({
            time: Number(nanos(event.timeUnixNano) - tree.began),
            name: 'event',
          })),
        ].slice(0, 200)
      : [];
    return html`<div key=${row.span_id + number} class="span ${number === at ? 'chosen' : ''} ${found.has(node)
      ? 'found' : ''}" role="treeitem"
      aria-level=${node.depth + 1} aria-selected=${number === at}
        aria-expanded=${node.children.length ? !folded.has(node) : null} onClick=${() => onChoose(node)}>
      <div class="span-name" style=${{ paddingLeft: `${Math.min(node.depth, MOST_INDENT) * INDENT + 4}px` }}
      title=${`${row.service}: ${line(row.body, 500)}`}>
        ${node.depth > MOST_INDENT && html`<span class="deep" title="How deep it is">${node.depth}</span>`}
        ${
          node.children.length + node.logs.length > 0
            ? html`<button class="fold" tabindex="-1" aria-label=${folded.has(node) ? 'Unfold' : 'Fold'}
          onClick=${(/** @type {Event} */ e) => (e.stopPropagation(), onFold(node))}>${folded.has(node) ? '▸' : '▾'}
          </button>`
            : html`<span class="fold"></span>`
        }
        <i class=${`service-mark ${serviceClass(row.service)}`}></i>
        ${node.failed && html`<b class="bad" title="It failed">!</b>`}
        <span class="name"><bdi>${line(row.body, 300) || '(no name)'}</bdi> <span class="muted">
        ${line(row.service, 60)}</span></span>
        ${folded.has(node) && html`<span class="below ${node.failedBelow ? 'bad' : ''}">+${count(node.below)}</span>`}
        </div>
      <div class="span-time">${
        isSeen &&
        html`<div class=${`bar-of ${kinds}`} style=${style}></div>
        ${marks.map((mark) => html`<i class=${`mark ${mark.name}`}
        style=${{ left: percent(Math.min(Math.max(part(mark.time), 0), 1)) }}></i>`)}
        <span class="took" style=${isLate ? { right: `calc(${percent(1 - Math.max(from,
        0))} + 5px)` } : { left: `calc(${percent(Math.min(Math.max(to, 0), 1))} + 6px)` }}
          data-inside=${to > 0.88 && !isLate ? '' : null}>${duration(node.end - node.start)}</span>`
      }</div></div>`;
  };
  const logLine = (/** @type {any} */ one, /** @type {number} */ number) => {
    const at_ = part(one.offset);
    const { log } = one;
    return html`<div key=${'log' + log.id + number} class="span log ${number === at ? 'chosen' : ''}" role="treeitem"
      aria-level=${one.depth + 1} aria-selected=${number === at}
      onClick=${() => onChoose(log)}>
      <div class="span-name" style=${{ paddingLeft: `${Math.min(one.depth, MOST_INDENT) * INDENT + 4}px` }}
      title=${line(log.body, 500)}>
        <span class="fold"></span><span class=${`severity ${log.severity}`}>${log.severity}</span><span class="name">
        <bdi>${line(log.body, 300)}</bdi></span></div>
      <div class="span-time">${at_ >= 0 && at_ <= 1 && html`<i class=${`mark log-mark ${log.severity}`}
      style=${{ left: percent(at_) }}></i>`}</div></div>`;
  };
  const ticks = Array.from({ length: TICKS }, (_, tick) => zoom.from + (length * tick) / (TICKS - 1));
  const head = html`<div class="span ruler" data-sticky><div class="span-name"><b>Span</b><${Divider} list=${list}
    onWidth=${setWidth} /></div>
    <div class="span-time">${ticks.map((tick, number) => html`<span class="tick"
    style=${number === TICKS - 1 ? { right: 0 } : { left: percent(number / (TICKS - 1)) }}>
      ${tick ? duration(tick) : '0'}</span>`)}</div></div>`;
  return html`<div class="waterfall" style=${width ? { '--name': `${width}px` } : {}}>
    <${Windowed} list=${list} count=${lines.length} height=${HEIGHT} draw=${draw} at=${at} label="Spans" head=${head} />
    <${DragField} handlers=${handlers} drag=${drag} onReset=${() => onZoom({ from: 0, to: tree.length })} /></div>`;
}

/**
 * Over the ruler: where a stretch is dragged out.
 * @param {{ handlers: any, drag: Stretch | null, onReset: () => void }} props
 */
function DragField({ handlers, drag, onReset }) {
  return html`<div class="drag-over" ...${handlers} onDblClick=${onReset}
    title="Drag to zoom, double click for the whole"></div>
    ${drag && html`<div class="drag-seen"><div class="dragged"
    style=${{ left: `${drag.from * 100}%`, width: `${(drag.to - drag.from) * 100}%` }}></div></div>`}`;
}

/**
 * Between names and bars: dragged, or moved with the arrows.
 * @param {{ list: { current: HTMLElement | null }, onWidth: (width: number) => void }} props
 */
function Divider({ list, onWidth }) {
  const set = (/** @type {number} */ width) =>
    onWidth(Math.min(Math.max(width, 120), (list.current?.clientWidth ?? 800) - 160));
  const now = () => /** @type {HTMLElement | null} */ (list.current?.querySelector('.span-name'))?.offsetWidth ?? 360;
  return html`<span class="divider" role="separator" aria-orientation="vertical" aria-label="Width of the names"
    tabindex="0"
    onPointerDown=${(/** @type {PointerEvent} */ e) =>
    /** @type {HTMLElement} */ (e.currentTarget).setPointerCapture(e.pointerId)}
    onPointerMove=${(/** @type {PointerEvent} */ e) => e.buttons
    && set(e.clientX - (list.current?.getBoundingClientRect().left ?? 0))}
    onKeyDown=${(/** @type {KeyboardEvent} */ e) => (e.key === 'ArrowLeft' ? set(now() - 24) : e.key === 'ArrowRight'
    ? set(now() + 24) : undefined, e.stopPropagation())}></span>`;
}
