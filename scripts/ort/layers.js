// node layers.js MODEL [RUNS]: median time in ms of every node of MODEL in ONNX Runtime's own profile, one thread: "ms op name" lines.
const ort = require('onnxruntime-node'), fs = require('fs'), os = require('os'), path = require('path')
async function main () {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'layers-'))
  const s = await ort.InferenceSession.create(process.argv[2], { intraOpNumThreads: 1, interOpNumThreads: 1, graphOptimizationLevel: 'all', enableProfiling: true, profileFilePrefix: path.join(dir, 'p') })
  const feeds = {}
  for (const i of s.inputMetadata) {
    const dims = i.shape.map(d => typeof d === 'number' && d > 0 ? d : 1), n = dims.reduce((a, b) => a * b, 1)
    feeds[i.name] = i.type === 'int64'
      ? new ort.Tensor('int64', BigInt64Array.from({ length: n }, () => BigInt(Math.floor(Math.random() * 1000))), dims)
      : new ort.Tensor('float32', Float32Array.from({ length: n }, Math.random), dims)
  }
  for (let k = 0; k < +(process.argv[3] || 25); k++) await s.run(feeds)
  s.endProfiling()
  const times = new Map()
  for (const f of fs.readdirSync(dir)) {
    for (const e of JSON.parse(fs.readFileSync(path.join(dir, f)))) {
      if (e.cat !== 'Node' || !e.name.endsWith('_kernel_time')) continue
      const key = e.args.op_name + ' ' + e.name.slice(0, -'_kernel_time'.length)
      if (!times.has(key)) times.set(key, [])
      times.get(key).push(e.dur / 1e3)
    }
  }
  fs.rmSync(dir, { recursive: true })
  for (const [k, v] of times) console.log(v.sort((a, b) => a - b)[Math.floor(v.length / 10)].toFixed(4), k)
}
main().catch(e => { console.error(String(e)); process.exit(1) })
