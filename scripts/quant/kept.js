// kept.js FLOAT QUANTIZED DIR largest|half|face|CONFIG - in ONNX Runtime: how many decisions on the npy and npz files of DIR both models share. Decision:
// the largest value of the first output, whether it is at least 0.5, or whether it holds a face. Each one that differs is shown with the margin in the
// float model; by chance: how many would be shared if each sample had the answer to the seventh behind it. With CONFIG, the file
// beside Magika, also what Magika itself decides: the label of the largest value where that reaches the label's threshold, else none.
// kept.js --faces X.npz Y.npz - whether both outputs of UltraFace find a face or both do not: a score of the second class above 0.7.
const fs = require('fs'), path = require('path'), ort = require('onnxruntime-node');
const kinds = { '<f4': ['float32', Float32Array], '<i4': ['int32', Int32Array], '<i8': ['int64', BigInt64Array], '|u1': ['uint8', Uint8Array] };
function tensor(b) {
  const n = b.readUInt16LE(8), head = b.subarray(10, 10 + n).toString('latin1');
  const [type, array] = kinds[/'descr': '([^']+)'/.exec(head)[1]], shape = (/\(([^)]*)\)/.exec(head)[1].match(/\d+/g) || []).map(Number);
  const raw = Uint8Array.from(b.subarray(10 + n));
  return new ort.Tensor(type, new array(raw.buffer), shape);
}
function read(file, names) {
  const b = fs.readFileSync(file);
  if (file.endsWith('.npy')) return { [names[0]]: tensor(b) };
  const out = {};
  let end = b.length - 22;
  while (b.readUInt32LE(end) !== 0x06054b50) end--;
  for (let i = b.readUInt16LE(end + 10), at = b.readUInt32LE(end + 16); i > 0; i--) { // files without compression
    const size = b.readUInt32LE(at + 24), n = b.readUInt16LE(at + 28), from = b.readUInt32LE(at + 42);
    const data = from + 30 + b.readUInt16LE(from + 26) + b.readUInt16LE(from + 28);
    out[b.subarray(at + 46, at + 46 + n).toString().replace('.npy', '')] = tensor(b.subarray(data, data + size));
    at += 46 + n + b.readUInt16LE(at + 30) + b.readUInt16LE(at + 32);
  }
  return out;
}
const places = scores => scores.filter((_, i) => i % 2 === 1).map(v => v > 0.7);
const face = scores => scores.some((v, i) => i % 2 === 1 && v > 0.7);
const faceIn = file => face(Object.values(read(file, [])).find(t => t.dims[t.dims.length - 1] === 2).data);
(async () => {
  if (process.argv[2] === '--faces') process.exit(faceIn(process.argv[3]) === faceIn(process.argv[4]) ? 0 : 1);
  const [float, quantized, dir, kind] = process.argv.slice(2);
  const config = kind.endsWith('.json') && JSON.parse(fs.readFileSync(kind));
  const decided = v => {
    const best = v.indexOf(Math.max(...v)), label = config.target_labels_space[best];
    return v[best] >= (config.thresholds[label] ?? config.medium_confidence_threshold) ? config.overwrite_map[label] ?? label : 'none';
  };
  const load = m => ort.InferenceSession.create(m, { intraOpNumThreads: 1, logSeverityLevel: 3 });
  const models = [await load(float), await load(quantized)];
  let same = 0, all = 0, decisions = 0, labels = 0;
  const before = [], after = [];
  let either = 0, both = 0;
  for (const f of fs.readdirSync(dir).sort()) {
    const inputs = read(path.join(dir, f), models[0].inputNames);
    const y = [];
    for (const m of models) y.push((await m.run(inputs))[m.outputNames[0]].data);
    const pick = v => kind === 'face' ? Number(face(v)) : kind === 'half' ? Number(v[0] >= 0.5) : v.indexOf(Math.max(...v));
    const [a, b] = y.map(pick);
    before.push(a); after.push(b);
    if (kind === 'face') {
      const [p, q] = y.map(places);
      p.forEach((v, i) => { either += v || q[i]; both += v && q[i]; });
    }
    all++;
    if (config) {
      const [p, q] = y.map(decided);
      if (p !== 'none') labels++;
      if (p === q) decisions++;
      else console.log(`${f}: Magika decided ${p}, now ${q}`);
    }
    if (a === b) { same++; continue; }
    if (kind === 'face') { console.log(`${f}: ${a} became ${b}`); continue; }
    const s = Array.from(y[0]).sort((p, q) => q - p);
    console.log(`${f}: ${a} became ${b}; float ${kind === 'half' ? y[0][0].toFixed(3) + ', now ' + y[1][0].toFixed(3) : s[0].toFixed(3) + ' against ' + s[1].toFixed(3)}`);
  }
  const chance = before.filter((a, i) => a === after[(i + 7) % all]).length;
  if (config) console.log(`${decisions} of ${all} of Magika's decisions kept (${(100 * decisions / all).toFixed(1)} %), ${labels} of them a label; the largest value:`);
  console.log(`${same} of ${all} kept (${(100 * same / all).toFixed(1)} %), by chance ${chance}${kind === 'face' ? `; of ${either} places with a face in either, ${both} in both` : ''}`);
})().catch(e => { console.error(String(e)); process.exit(1); });
