// samples.js tokens OUT FILE... | windows OUT SEED COUNT WAV... - samples in the order of networks that read no pictures, in OUT/a (even ones)
// and OUT/b (odd ones).
//   tokens: what Magika reads of a file: the first 1,024 bytes behind white space and the last 1,024 before it, padded with 256.
//   texts OUT SEED COUNT: ids of words, mask and token types of 32 places, as scripts/text.js's network reads them.
//   shape, nan, inf, constant OUT: pictures of 3 x 32 x 32 that cannot be calibrated on, or of one number.
//   windows: 576 values at 16 kHz for Silero VAD, with a state of zeros; every fourth one is noise. Which ones follows from SEED.
const fs = require('fs'), path = require('path');
const [kind, out, ...rest] = process.argv.slice(2);

function npy(values, descr, shape, write, size) {
  const head = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape.map(d => d + ',').join(' ')}), }`.padEnd(117) + '\n';
  const b = Buffer.alloc(10 + head.length + size * values.length);
  b.write('\x93NUMPY\x01\x00', 0, 'latin1');
  b.writeUInt16LE(head.length, 8);
  b.write(head, 10, 'latin1');
  values.forEach((v, i) => b[write](v, 10 + head.length + size * i));
  return b;
}

// npz is a zip file without compression.
function npz(parts) {
  const bodies = [], list = [];
  let at = 0;
  for (const [name, data] of Object.entries(parts)) {
    const n = Buffer.from(name + '.npy'), h = Buffer.alloc(30), c = Buffer.alloc(46), crc = crc32(data);
    h.writeUInt32LE(0x04034b50, 0); h.writeUInt16LE(20, 4); h.writeUInt32LE(crc, 14); h.writeUInt32LE(data.length, 18); h.writeUInt32LE(data.length, 22); h.writeUInt16LE(n.length, 26);
    c.writeUInt32LE(0x02014b50, 0); c.writeUInt16LE(20, 4); c.writeUInt16LE(20, 6); c.writeUInt32LE(crc, 16); c.writeUInt32LE(data.length, 20); c.writeUInt32LE(data.length, 24); c.writeUInt16LE(n.length, 28); c.writeUInt32LE(at, 42);
    bodies.push(h, n, data);
    list.push(c, n);
    at += 30 + n.length + data.length;
  }
  const dir = Buffer.concat(list), e = Buffer.alloc(22), n = Object.keys(parts).length;
  e.writeUInt32LE(0x06054b50, 0); e.writeUInt16LE(n, 8); e.writeUInt16LE(n, 10); e.writeUInt32LE(dir.length, 12); e.writeUInt32LE(at, 16);
  return Buffer.concat([...bodies, dir, e]);
}
function crc32(b) {
  let c = ~0;
  for (const x of b) {
    c ^= x;
    for (let k = 0; k < 8; k++) c = (c >>> 1) ^ (0xedb88320 & -(c & 1));
  }
  return ~c >>> 0;
}

let n = 0;
function save(name, data) {
  const dir = path.join(out, n % 2 ? 'b' : 'a');
  fs.mkdirSync(dir, { recursive: true });
  fs.writeFileSync(path.join(dir, String(n).padStart(4, '0') + name), data);
  n++;
}

if (kind === 'tokens') {
  const white = b => b === 32 || (b >= 9 && b <= 13);
  for (const f of rest) {
    const b = fs.readFileSync(f);
    if (b.length < 8) continue;
    let first = b.subarray(0, 4096), last = b.subarray(Math.max(0, b.length - 4096)), i = 0, j = last.length;
    while (i < first.length && white(first[i])) i++;
    while (j > 0 && white(last[j - 1])) j--;
    first = first.subarray(i, i + 1024);
    last = last.subarray(Math.max(0, j - 1024), j);
    const x = new Array(2048).fill(256);
    first.forEach((v, k) => { x[k] = v; });
    last.forEach((v, k) => { x[2048 - last.length + k] = v; });
    fs.appendFileSync(path.join(path.dirname(out), path.basename(out) + '.txt'), `${String(n).padStart(4, '0')} ${f}\n`);
    save('.npy', npy(x, '<i4', [1, 2048], 'writeInt32LE', 4));
  }
} else if (kind === 'texts') {
  let state = Number(rest[0]);
  const random = () => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return state / 2 ** 32; };
  for (let i = 0; i < Number(rest[1]); i++) {
    const long = 4 + Math.floor(29 * random()), turn = Math.floor(long * random());
    const at = Array.from({ length: 32 }, (_, k) => k);
    const int64s = f => npy(at.map(k => BigInt(k < long ? f(k) : 0)), '<i8', [1, 32], 'writeBigInt64LE', 8);
    save('.npz', npz({ ids: int64s(() => 1 + Math.floor(999 * random() ** 2)), mask: int64s(() => 1), types: int64s(k => (k < turn ? 0 : 1)) }));
  }
} else if (kind !== 'windows') {
  for (let i = 0; i < 32; i++) {
    const shape = kind === 'shape' ? [1, 2, 28, 28] : [1, 3, 32, 32];
    const x = Array.from({ length: shape.reduce((a, b) => a * b) }, (_, k) => kind === 'constant' ? 0.25 : Math.sin(k * (i + 1)));
    if (kind === 'nan') x[7] = NaN;
    if (kind === 'inf') x[7] = Infinity;
    save('.npy', npy(x, '<f4', shape, 'writeFloatLE', 4));
  }
} else {
  let state = Number(rest[0]);
  const random = () => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return state / 2 ** 32; };
  const wavs = rest.slice(2).map(f => [random(), f]).sort((x, y) => x[0] - y[0]).slice(0, Number(rest[1]));
  for (const [, f] of wavs) {
    const b = fs.readFileSync(f).subarray(44), x = [];
    for (let i = 0; i + 3 < b.length; i += 2) { // 8 kHz: a value between each two
      const p = b.readInt16LE(i) / 32768, q = b.readInt16LE(i + 2) / 32768;
      x.push(p, (p + q) / 2);
    }
    while (x.length < 700) x.push(0);
    const at = Math.floor(random() * (x.length - 576));
    let part = x.slice(at, at + 576);
    if (n % 4 === 3) part = part.map(() => 0.003 * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()));
    const sr = npy([16000n], '<i8', [], 'writeBigInt64LE', 8);
    save('.npz', npz({ input: npy(part, '<f4', [1, 576], 'writeFloatLE', 4), state: npy(new Array(256).fill(0), '<f4', [2, 1, 128], 'writeFloatLE', 4), sr }));
  }
}
console.log(`${n} samples`);
