// Methods of node's Buffer that are public by name though not by documentation; without the argument checks of `write`.
interface Buffer {
  latin1Write(text: string, offset?: number, length?: number): number;
  utf8Write(text: string, offset?: number, length?: number): number;
  latin1Slice(start?: number, end?: number): string;
  utf8Slice(start?: number, end?: number): string;
}
