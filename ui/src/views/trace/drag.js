// Dragging over a stretch of time.
import { useRef, useState } from '../../html.js';

/** @typedef {{ from: number, to: number }} Stretch */

/**
 * What an element over a stretch needs for it, and what is being dragged, in parts of its width.
 * @param {Stretch} stretch @param {(stretch: Stretch) => void} onDone
 */
export function useDrag(stretch, onDone) {
  const [drag, setDrag] = useState(/** @type {Stretch | null} */ (null));
  const began = useRef(/** @type {{ left: number, width: number, first: number } | null} */ (null));
  const part = (/** @type {PointerEvent} */ event) => {
    const { left, width } = /** @type {NonNullable<typeof began.current>} */ (began.current);
    return Math.min(Math.max((event.clientX - left) / width, 0), 1);
  };
  return {
    drag,
    handlers: {
      onPointerDown: (/** @type {PointerEvent} */ event) => {
        if (event.button !== 0 || event.pointerType === 'touch') return;
        const { left, width } = /** @type {HTMLElement} */ (event.currentTarget).getBoundingClientRect();
        began.current = { left, width, first: (event.clientX - left) / width };
      },
      onPointerMove: (/** @type {PointerEvent} */ event) => {
        const start = began.current;
        if (!start) return;
        const now = part(event);
        if (Math.abs(now - start.first) * start.width < 4 && !drag) return;
        /** @type {HTMLElement} */ (event.currentTarget).setPointerCapture(event.pointerId);
        setDrag({ from: Math.min(start.first, now), to: Math.max(start.first, now) });
      },
      onPointerUp: () => {
        began.current = null;
        if (!drag) return;
        setDrag(null);
        const length = stretch.to - stretch.from;
        if (drag.to - drag.from > 0.002)
          onDone({ from: stretch.from + drag.from * length, to: stretch.from + drag.to * length });
      },
      onPointerCancel: () => {
        began.current = null;
        setDrag(null);
      },
    },
  };
}
