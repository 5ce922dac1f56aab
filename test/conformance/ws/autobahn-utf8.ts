/**
 * The texts of Autobahn's cases 6.5 to 6.23, group by group: the boundaries, gaps and overlong forms of UTF-8, as Markus Kuhn's decoder test lists
 * them. Whether one is valid is decoded and not written down.
 */
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
const bytes = (...hex: string[]): Buffer[] => hex.map((text) => Buffer.from(text, 'hex'));
/** Each start byte of a range with a space behind it. */
const lonely = (from: number, to: number): Buffer => Buffer.from(range(from, to).flatMap((byte) => [byte, 0x20]));

/** With U+1F79, which has three bytes. */
export const kosme = Buffer.from('\u03ba\u1f79\u03c3\u03bc\u03b5');
const withoutLast = [
  'c0',
  'e080',
  'f08080',
  'f8808080',
  'fc80808080',
  'df',
  'efbf',
  'f7bfbf',
  'fbbfbfbf',
  'fdbfbfbfbf',
];
const surrogates = { high: ['eda080', 'edadbf', 'edae80', 'edafbf'], low: ['edb080', 'edbfbf'] };
/** U+nFFFE and U+nFFFF of the planes whose last two are written with 8f, 9f, af or bf. */
const nonCharacters = range(0xf0, 0xf5).flatMap((first) =>
  [0x8f, 0x9f, 0xaf, 0xbf]
    .filter((second) => !(first === 0xf0 && second === 0x8f) && !(first === 0xf4 && second !== 0x8f))
    .flatMap((second) => [Buffer.from([first, second, 0xbf, 0xbe]), Buffer.from([first, second, 0xbf, 0xbf])]),
);

/** The first is 6.5. */
const groups: readonly Buffer[][] = [
  [...['$', '¢', '€', '\u{24b62}'].map((sign) => Buffer.from(`hello${sign}world`)), kosme],
  range(1, kosme.length + 1).map((length) => kosme.subarray(0, length)),
  bytes('00', 'c280', 'e0a080', 'f0908080'),
  bytes('f888808080', 'fc8480808080'),
  bytes('7f', 'dfbf', 'efbfbf', 'f48fbfbf'),
  bytes('f7bfbfbf', 'fbbfbfbfbf', 'fdbfbfbfbfbf'),
  bytes('ed9fbf', 'ee8080', 'efbfbd', 'f48fbfbf', 'f4908080'),
  [...bytes('80', 'bf', '80bf', '80bf80', '80bf80bf', '80bf80bf80', '80bf80bf80bf'), Buffer.from(range(0x80, 0xbf))],
  [lonely(0xc0, 0xdf), lonely(0xe0, 0xef), lonely(0xf0, 0xf7), lonely(0xf8, 0xfb), lonely(0xfc, 0xfd)],
  bytes(...withoutLast),
  bytes(withoutLast.join('')),
  bytes('fe', 'ff', 'fefeffff'),
  bytes('c0af', 'e080af', 'f08080af', 'f8808080af', 'fc80808080af'),
  bytes('c1bf', 'e09fbf', 'f08fbfbf', 'f887bfbfbf', 'fc83bfbfbfbf'),
  bytes('c080', 'e08080', 'f0808080', 'f880808080', 'fc8080808080'),
  bytes(...surrogates.high, 'edb080', 'edbe80', 'edbfbf'),
  surrogates.high.flatMap((high) => bytes(...surrogates.low.map((low) => high + low))),
  [...bytes('efbfbe', 'efbfbf'), ...nonCharacters],
  bytes('efbfb9', 'efbfba', 'efbfbb', 'efbfbc', 'efbfbd', 'efbfbe', 'efbfbf'),
];

function isUtf8(text: Buffer): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(text);
    return true;
  } catch {
    return false;
  }
}

export const utf8Cases: readonly { id: string; text: Buffer; isValid: boolean }[] = groups.flatMap((texts, group) =>
  texts.map((text, i) => ({ id: `6.${group + 5}.${i + 1}`, text, isValid: isUtf8(text) })),
);
