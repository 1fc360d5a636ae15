// A part whose file is fetched when it is drawn first, so that the page stands before it is there.
import { html, useEffect, useState } from '../html.js';

/** @type {Map<string, any>} */
const known = new Map();

/** @param {{ name: string, load: () => Promise<{ default: any }>, props: object, waiting: any }} props */
export function Lazy({ name, load, props, waiting }) {
  const [, setLoaded] = useState(0);
  useEffect(() => {
    if (!known.has(name))
      load().then(
        (file) => (known.set(name, file.default), setLoaded(1)),
        () => {},
      );
  }, [name]);
  const Part = known.get(name);
  return Part ? html`<${Part} ...${props} />` : waiting;
}
