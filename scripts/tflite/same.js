// same.js FETTLE MODEL.tflite [COUNT] - the answers of TensorFlow Lite (with XNNPACK and without) and of this engine to the same random inputs, in
// steps: the least distance of two values of the largest output. Wants a model of one float32 input; scripts/tflite/install.sh comes first.
const { execFileSync } = require('child_process'), fs = require('fs'), os = require('os'), path = require('path');
const [fettle, model, count = 4] = process.argv.slice(2), peer = path.join(__dirname, '../../.cache/tflite/peer');
const work = fs.mkdtempSync(path.join(os.tmpdir(), 'same-')), at = f => path.join(work, f);
const quiet = { stdio: ['ignore', 'pipe', 'ignore'] };
let state = 7;
const random = () => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return (state + 1) / 2 ** 32; };
const normal = () => Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random());
const floats = b => new Float32Array(Uint8Array.from(b).buffer);
try {
  const input = JSON.parse(execFileSync(fettle, ['inspect', model, '--json'], quiet)).inputs[0];
  const size = input.shape.reduce((a, b) => a * b), pairs = [['fettle', 'xnnpack'], ['fettle', 'plain'], ['xnnpack', 'plain']];
  const sums = pairs.map(() => ({ same: 0, near: 0, most: 0 }));
  let all = 0;
  for (let i = 0; i < count; i++) {
    const x = Float32Array.from({ length: size }, normal), raw = Buffer.from(x.buffer);
    const head = `{'descr': '<f4', 'fortran_order': False, 'shape': (${input.shape.join(', ')},), }`.padEnd(117) + '\n';
    fs.writeFileSync(at('in'), raw);
    fs.writeFileSync(at('in.npy'), Buffer.concat([Buffer.from('\x93NUMPY\x01\x00', 'latin1'), Buffer.from([head.length, 0]), Buffer.from(head), raw]));
    for (const [out, env] of [['xnnpack', {}], ['plain', { PLAIN: '1' }]]) execFileSync(peer, [model, '1', '-run', at('in'), at(out)], { ...quiet, env: { ...process.env, ...env } });
    execFileSync(fettle, ['run', model, '-i', `${input.name}=${at('in.npy')}`, '-o', at('out.npz')], quiet);
    const z = fs.readFileSync(at('out.npz')), first = 30 + z.readUInt16LE(26) + z.readUInt16LE(28);
    const y = { xnnpack: floats(fs.readFileSync(at('xnnpack'))), plain: floats(fs.readFileSync(at('plain'))) };
    const from = first + 10 + z.readUInt16LE(first + 8);
    y.fettle = floats(z.subarray(from, from + 4 * y.plain.length));
    const levels = [...new Set(y.plain)].sort((a, b) => a - b), step = Math.min(...levels.slice(1).map((v, k) => v - levels[k]).filter(d => d > 1e-4));
    all += y.plain.length;
    pairs.forEach(([a, b], k) => y[a].forEach((v, j) => {
      const d = Math.round(Math.abs(v - y[b][j]) / step);
      if (d === 0) sums[k].same++;
      if (d <= 1) sums[k].near++;
      sums[k].most = Math.max(sums[k].most, d);
    }));
  }
  pairs.forEach(([a, b], k) => console.log(`${a} and ${b}: ${(100 * sums[k].same / all).toFixed(1)} % the same, ${(100 * sums[k].near / all).toFixed(1)} % within a step, at most ${sums[k].most} steps, ${all} values`));
} finally { fs.rmSync(work, { recursive: true }); }
