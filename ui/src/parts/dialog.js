// A dialog over the page: the browser's own, which keeps the focus inside and closes on Escape.
import { html, useEffect, useRef } from '../html.js';

/** @param {{ title: string, onClose: () => void, children?: any, className?: string }} props */
export function Dialog({ title, onClose, children, className = '' }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    const before = document.activeElement;
    dialog.current?.showModal();
    return () => (before instanceof HTMLElement && before.isConnected ? before.focus() : undefined);
  }, []);
  /** @param {MouseEvent} event */
  const clicked = (event) => event.target === dialog.current && onClose();
  return html`<dialog ref=${dialog} class=${className} aria-label=${title} onClose=${onClose} onClick=${clicked}>
    <div class="dialog"><h2>${title}</h2>${children}</div></dialog>`;
}

/**
 * @param {{ title: string, text: string, yes: string, isDanger?: boolean, onYes: () => void,
 *   onClose: () => void }} props
 */
export function Confirm({ title, text, yes, isDanger = false, onYes, onClose }) {
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <p>${text}</p>
    <p class="buttons"><button autofocus onClick=${onClose}>Cancel</button>
      <button class=${isDanger ? 'danger' : 'primary'} onClick=${() => (onYes(), onClose())}>${yes}</button></p>
      </${Dialog}>`;
}
