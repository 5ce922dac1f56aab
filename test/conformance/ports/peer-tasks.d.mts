export interface TaskReport {
  readonly traceId: string;
  readonly hasDeadline: boolean;
  readonly isCurrent: boolean;
  /** When its signal fired, by the clock of the machine. */
  readonly at: number;
  readonly isCancelled: boolean;
  readonly ended: number;
  readonly signalled: number;
  readonly cancelled: number;
}
