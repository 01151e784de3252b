const [LF, CR, DOT] = [0x0a, 0x0d, 0x2e];

/**
 * The same octets with a dot before each dot that begins a line (RFC 5321 §4.5.2). A CR or LF that stands alone becomes
 * CRLF, lest a server takes it for the end of a line where another does not. Mostly the Buffer itself.
 */
export function stuffDots(bytes: Buffer): Buffer {
  for (let index = 0, last = LF; index < bytes.length; index++) {
    const octet = bytes[index]!;
    if (octet <= DOT && isWrong(last, octet)) return stuffed(bytes);
    if (last === CR && octet !== LF) return stuffed(bytes);
    last = octet;
  }
  return bytes.length > 0 && bytes[bytes.length - 1] === LF ? bytes : stuffed(bytes);
}

function isWrong(last: number, octet: number): boolean {
  return octet === LF ? last !== CR : octet === DOT && last === LF;
}

function stuffed(bytes: Buffer): Buffer {
  const lines = bytes.toString('latin1').replace(/\r\n?|\n/g, '\r\n');
  const ended = lines === '' || lines.endsWith('\n') ? lines : `${lines}\r\n`;
  return Buffer.from(ended.replace(/^\./gm, '..'), 'latin1');
}
