// node bench.js MODEL THREADS: the other side of scripts/bench.sh. For each number on the input it runs MODEL in ONNX Runtime so
// many times and answers with one line of times in ms: of the processor for one thread, else wall. The log gets the time to load and the
// memory that the session and its runs took.
const ort = require('onnxruntime-node'), readline = require('readline')
const [file, threads] = [process.argv[2], +process.argv[3]]
async function main () {
  const before = process.memoryUsage.rss(), start = process.hrtime.bigint()
  const s = await ort.InferenceSession.create(file, { intraOpNumThreads: threads, interOpNumThreads: 1, graphOptimizationLevel: 'all' })
  const load = Number(process.hrtime.bigint() - start) / 1e6
  const feeds = {}
  for (const i of s.inputMetadata) {
    const dims = i.shape.map(d => typeof d === 'number' && d > 0 ? d : 1), n = dims.reduce((a, b) => a * b, 1)
    feeds[i.name] = i.type === 'int64'
      ? new ort.Tensor('int64', BigInt64Array.from({ length: n }, () => BigInt(Math.floor(Math.random() * 1000))), dims)
      : new ort.Tensor('float32', Float32Array.from({ length: n }, Math.random), dims)
  }
  for (let k = 0; k < 3; k++) await s.run(feeds)
  console.error(`load ${load.toFixed(1)} rss ${((process.memoryUsage.rss() - before) / 1e6).toFixed(1)}`)
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const times = []
    for (let k = 0; k < +line; k++) {
      const used = process.cpuUsage(), begin = process.hrtime.bigint()
      await s.run(feeds)
      const wall = Number(process.hrtime.bigint() - begin) / 1e6, cpu = process.cpuUsage(used)
      times.push((threads === 1 ? (cpu.user + cpu.system) / 1e3 : wall).toFixed(4))
    }
    console.log(times.join(' '))
  }
}
main().catch(e => { console.error(String(e)); process.exit(1) })
