// Elements: what every other file takes from the libraries.
import { h, render, Fragment, Component } from '../vendor/preact.js';
import htm from '../vendor/htm.js';

export { render, Fragment, Component };
export { useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback } from '../vendor/hooks.js';

/** Makes elements of a template. Texts are escaped, always. */
export const html = htm.bind(h);

/**
 * A component that is drawn anew only if one of its properties is another one.
 * @template P
 * @param {(props: P) => any} draw
 * @returns {any}
 */
export function memo(draw) {
  return class extends Component {
    /** @param {any} next */
    shouldComponentUpdate(next) {
      /** @type {any} */
      const now = this.props;
      for (const name in next) if (next[name] !== now[name]) return true;
      for (const name in now) if (!(name in next)) return true;
      return false;
    }

    /** @param {any} props */
    render(props) {
      return draw(props);
    }
  };
}
