// node load.js MODEL THREADS COUNT: how long ONNX Runtime takes from a file to the end of its first run, and to a session
// that can run; median of COUNT sessions in one process, after one that loads the library.
const ort = require('onnxruntime-node')
const [file, threads, count] = [process.argv[2], +process.argv[3] || 1, +process.argv[4] || 7]
async function main () {
  const loads = [], firsts = []
  for (let k = 0; k <= count; k++) {
    const begin = process.hrtime.bigint()
    const s = await ort.InferenceSession.create(file, { intraOpNumThreads: threads, interOpNumThreads: 1, graphOptimizationLevel: 'all' })
    const loaded = Number(process.hrtime.bigint() - begin) / 1e6
    const feeds = {}
    for (const i of s.inputMetadata) {
      const dims = i.shape.map(d => typeof d === 'number' && d > 0 ? d : 1), n = dims.reduce((a, b) => a * b, 1)
      feeds[i.name] = i.type === 'int64' ? new ort.Tensor('int64', new BigInt64Array(n), dims) : new ort.Tensor('float32', new Float32Array(n), dims)
    }
    await s.run(feeds)
    const first = Number(process.hrtime.bigint() - begin) / 1e6
    if (k > 0) { loads.push(loaded); firsts.push(first) }
    await s.release()
  }
  const median = v => v.sort((a, b) => a - b)[v.length >> 1].toFixed(1)
  console.log(`ONNX Runtime: load ${median(loads)} ms, load and first run ${median(firsts)} ms`)
}
main().catch(e => { console.error(String(e)); process.exit(1) })
