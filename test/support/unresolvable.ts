/** A name that never resolves, and that no name server is asked for, which may take its time: a label has at most 63 bytes (RFC 1035, section 2.3.4). */
export const UNRESOLVABLE = `${'a'.repeat(64)}.invalid`;
