// The keyboard, where nobody is writing.
import { useEffect } from './html.js';

/** @param {EventTarget | null} target */
export function isWriting(target) {
  return (
    target instanceof HTMLElement && (/^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || target.isContentEditable)
  );
}

/**
 * @param {Record<string, (event: KeyboardEvent) => void>} keys by `event.key`
 * @param {unknown[]} inputs of the calls, as of an effect
 */
export function useKeys(keys, inputs) {
  useEffect(() => {
    /** @param {KeyboardEvent} event */
    const pressed = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (isWriting(event.target) || document.querySelector('dialog[open]')) return;
      const call = keys[event.key];
      if (!call) return;
      event.preventDefault();
      call(event);
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, inputs);
}

/**
 * Moves the focus to the next row of a list, or the one before; to the first if none has it.
 * @param {Element | null} list @param {number} step
 */
export function stepRow(list, step) {
  const rows = /** @type {HTMLElement[]} */ ([...(list?.querySelectorAll('[data-row]') ?? [])]);
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const next = rows[at < 0 ? 0 : Math.min(Math.max(at + step, 0), rows.length - 1)];
  next?.focus();
  next?.scrollIntoView({ block: 'nearest' });
}
