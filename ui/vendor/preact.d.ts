// The part of Preact that the page uses.
export type Child = object | string | number | bigint | boolean | null | undefined | Child[];
export type VNode = object;
export function h(type: any, props?: any, ...children: Child[]): VNode;
export function render(node: VNode, into: Element): void;
export const Fragment: any;
export class Component<P = {}, S = {}> {
  constructor(props?: P);
  props: P & { children?: Child };
  state: S;
  setState(state: Partial<S>): void;
  render(props: P, state: S): Child;
}
