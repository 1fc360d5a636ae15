// What `/api` answers, as far as the page reads it, and what parts of the page hand to each other.

type Severity = 'none' | 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal';
type Attributes = Record<string, any>;
/** A point in time or a length in nanoseconds as the API writes it: digits, a number, or RFC 3339. */
type Written = string | number;

type Row = {
  id: string;
  time: string;
  cursor: string;
  severity: Severity;
  severity_number: number;
  service: string;
  body: string;
  attributes: Attributes;
  resource: Attributes;
  scope: string;
  trace_id: string;
  span_id: string;
  parent_span_id?: string;
  kind?: number | string;
  status?: { code?: number | string; message?: string } | null;
  end?: string | null;
  events?: { name?: string; timeUnixNano?: string; attributes?: any[] }[] | null;
};
type Counts = Partial<Record<Severity, number>>;
type RowsAnswer = {
  rows: Row[];
  cursor: string | null;
  complete: boolean;
  counts?: Counts;
  total?: number;
  counts_complete?: boolean;
};
type HistogramAnswer = {
  start: string;
  width: string;
  buckets: Counts[];
  services: Record<string, number> | any[];
  total: number;
  complete: boolean;
};
type Counted = { text: string; records: number };
type TraceSummary = {
  trace_id: string;
  start: string;
  duration_ns: string;
  service: string;
  operation: string;
  has_root: boolean;
  services: string[];
  spans: number;
  errors: number;
  status: 'unset' | 'ok' | 'error';
};
type TracesAnswer = { traces: TraceSummary[]; cursor: string | null; complete: boolean };
type TraceAnswer = { trace_id: string; spans: Row[]; logs: Row[]; complete: boolean };
type Me = {
  version: string;
  started: Written;
  tenant: string;
  tenants: string[];
  needs_token: boolean;
  where: Record<string, string>;
};
type Service = {
  name: string;
  spans: number;
  errors: number;
  rate: number;
  p50: Written;
  p95: Written;
  p99: Written;
  logs: number;
  log_errors: number;
};
type What = 'shed' | 'refused' | 'parked' | 'dropped';
type Loss = {
  start: Written;
  end: Written;
  component: string;
  signal: string;
  reason: string;
  service: string | null;
  what: What;
  records: number;
};
type Losses = { losses: Loss[]; total: Record<What, number> };
type Reasons = Record<string, number>;
type Lane = {
  target: string;
  state: 'passing' | 'halted' | 'probing';
  queue: number;
  bytes: number;
  reason: string | null;
  retry_in: number | null;
};
type ReceiverState = {
  id: string;
  transport: string;
  signal: string;
  accepted: number;
  refused: Reasons;
  shed: Reasons;
};
type ProcessorState = {
  id: string;
  pipeline: string;
  signal: string;
  incoming: number;
  outgoing: number;
  dropped: Reasons;
};
type ExporterState = {
  id: string;
  signal: string;
  sent: number;
  failed: Reasons;
  dropped: Reasons;
  queue_size: number;
  queue_capacity: number;
  bytes: number;
  spool: { bytes: number; limit: number; records: number } | null;
  lanes_total: number;
  lanes_halted: number;
  lanes: Lane[];
};
type PipelineState = {
  time: Written;
  budget: { limit: number; used: number; soft: number; level: 'open' | 'soft' | 'hard' };
  pipelines: { id: string; signal: string; receivers: string[]; processors: string[]; exporters: string[] }[];
  receivers: ReceiverState[];
  processors: ProcessorState[];
  exporters: ExporterState[];
  dead_letters: { records: number; bytes: number } | null;
  store: { records: number; bytes: number } | null;
};
type Letter = {
  id: string;
  exporter: string;
  signal: string;
  target: string;
  time: Written;
  reason: string;
  records: number;
  bytes: number;
  preview: Row[];
};
type LettersAnswer = { letters: Letter[]; cursor: string | null; total: number };
type Step = {
  stage: string;
  labels: Record<string, string>;
  line: string;
  timestamp: Written;
  extracted: Attributes;
  structured_metadata: Record<string, string>;
  changed: string[];
};
type StagesAnswer = { entries: { steps: Step[]; result: 'kept' | 'dropped' | 'held'; reason: string | null }[] };

/** What every view is given. */
type Context = {
  /** The window that is looked at, in nanoseconds. */
  start: bigint;
  end: bigint;
  tenant: string | null;
  me: Me | null;
  /** Counts how often the window was asked for anew. */
  round: number;
  params: URLSearchParams;
};
