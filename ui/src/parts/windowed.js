// A long list of lines of one height, of which only those are drawn that can be seen.
import { html, useEffect, useLayoutEffect, useState } from '../html.js';

/** Lines drawn above and below what is seen. */
const MARGIN = 12;

/**
 * @param {{ list: { current: HTMLElement | null }, count: number, height: number, draw: (at: number) => any,
 *   at?: number, label: string,
 *   head?: any, className?: string }} props at: a line that is to be in sight, -1 for none
 */
export function Windowed({ list, count, height, draw, at = -1, label, head, className = '' }) {
  const [seen, setSeen] = useState({ from: 0, to: 60 });
  const look = () => {
    const element = list.current;
    if (!element) return;
    const from = Math.max(0, Math.floor(element.scrollTop / height) - MARGIN);
    const to = Math.ceil((element.scrollTop + element.clientHeight) / height) + MARGIN;
    setSeen((before) => (before.from === from && before.to === to ? before : { from, to }));
  };
  useLayoutEffect(look, [count]);
  useEffect(() => {
    const sized = new ResizeObserver(look);
    if (list.current) sized.observe(list.current);
    return () => sized.disconnect();
  }, []);
  useLayoutEffect(() => {
    const element = list.current;
    if (!element || at < 0) return;
    const above = /** @type {HTMLElement | null} */ (element.querySelector('[data-sticky]'))?.offsetHeight ?? 0;
    const top = at * height;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + height + above > element.scrollTop + element.clientHeight)
      element.scrollTop = top + height + above - element.clientHeight;
  }, [at]);
  const drawn = [];
  for (let line = seen.from; line < Math.min(seen.to, count); line++) drawn.push(draw(line));
  return html`<div class="windowed ${className}" ref=${list} onScroll=${look} tabindex="0" role="tree"
    aria-label=${label}>
    ${head}
    <div class="windowed-all" style=${{ height: `${count * height}px` }}>
      <div class="windowed-seen" style=${{ transform: `translateY(${seen.from * height}px)` }}>${drawn}</div></div>
      </div>`;
}
