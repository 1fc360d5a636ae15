// The part of uPlot that the page uses.
export default class uPlot {
  constructor(options: any, data: any[], into: Element);
  static rangeNum: any;
  static paths: { bars?(options: any): any };
  data: any[];
  bbox: { left: number; top: number; width: number; height: number };
  select: { left: number; width: number };
  cursor: { idx?: number | null; left?: number };
  over: HTMLElement;
  setData(data: any[], resetScales?: boolean): void;
  setSize(size: { width: number; height: number }): void;
  setSelect(select: any, fire?: boolean): void;
  posToVal(position: number, scale: string): number;
  valToPos(value: number, scale: string, canvas?: boolean): number;
  destroy(): void;
}
