// What can be done with a value: a small menu where it was clicked.
import { html, useEffect, useLayoutEffect, useRef, useState } from '../html.js';
import { copy, line } from '../text.js';
import { isName } from '../query.js';

/** @typedef {{ x: number, y: number, field: string, value: string, from: HTMLElement | null }} Clicked */

/**
 * A click on a value of a field.
 * @param {MouseEvent} event @param {string} field @param {string} value @returns {Clicked}
 */
export function clicked(event, field, value) {
  event.stopPropagation();
  const target = /** @type {HTMLElement} */ (event.currentTarget);
  const { left, bottom } = target.getBoundingClientRect();
  return { x: event.clientX || left, y: event.clientY || bottom, field, value, from: target };
}

/**
 * @param {{ at: Clicked, onFilter?: (field: string, value: string, not: boolean) => void,
 *   onColumn?: (field: string) => void,
 *   more?: { name: string, call: () => void }[], onClose: () => void }} props
 */
export function ValueMenu({ at, onFilter, onColumn, more = [], onClose }) {
  const menu = useRef(/** @type {HTMLElement | null} */ (null));
  const [place, setPlace] = useState({ left: at.x, top: at.y });
  useLayoutEffect(() => {
    const { width, height } = menu.current?.getBoundingClientRect() ?? { width: 0, height: 0 };
    setPlace({
      left: Math.max(4, Math.min(at.x, innerWidth - width - 8)),
      top: at.y + height + 12 > innerHeight ? Math.max(4, at.y - height - 6) : at.y + 6,
    });
    menu.current?.querySelector('button')?.focus({ preventScroll: true });
  }, [at]);
  useEffect(() => {
    /** @param {Event} event */
    const outside = (event) => menu.current?.contains(/** @type {Node} */ (event.target)) || onClose();
    addEventListener('pointerdown', outside);
    addEventListener('scroll', onClose, true);
    return () => {
      removeEventListener('pointerdown', outside);
      removeEventListener('scroll', onClose, true);
    };
  }, []);
  const can = isName(at.field) && at.value !== '';
  const filter = (/** @type {boolean} */ not) => onFilter?.(at.field, at.value, not);
  /** @type {{ sign: string, name: string, call: () => void }[]} */
  const items = [
    ...(onFilter && can
      ? [
          { sign: '＋', name: 'Only with it', call: () => filter(false) },
          { sign: '−', name: 'Without it', call: () => filter(true) },
        ]
      : []),
    { sign: '⧉', name: 'Copy', call: () => copy(at.value) },
    ...(onColumn ? [{ sign: '▥', name: 'As a column', call: () => onColumn(at.field) }] : []),
    ...more.map((one) => ({ sign: '→', ...one })),
  ];
  const pressed = (/** @type {KeyboardEvent} */ event) => {
    const buttons = [...(menu.current?.querySelectorAll('button') ?? [])];
    const now = buttons.indexOf(/** @type {any} */ (document.activeElement));
    const step = /** @type {Record<string, number>} */ ({ ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 })[event.key];
    if (step) buttons[(now + step + buttons.length) % buttons.length]?.focus();
    if (event.key === 'Escape' || event.key === 'Tab') {
      onClose();
      at.from?.focus();
    }
    if (step || event.key === 'Escape') event.preventDefault();
    event.stopPropagation();
  };
  return html`<div class="menu" role="menu" ref=${menu} style=${{ left: `${place.left}px`, top: `${place.top}px` }}
    onKeyDown=${pressed}>
    <div class="menu-head"><span class="muted">${line(at.field, 80)}</span> ${line(at.value, 120)}</div>
    ${items.map(
      ({ sign, name, call }) => html`<button role="menuitem" onClick=${() => (call(), onClose())}>
        <span aria-hidden="true">${sign}</span>${name}</button>`,
    )}</div>`;
}
