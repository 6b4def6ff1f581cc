// node pairs.js DIR: runs DIR/<i>a.onnx and DIR/<i>b.onnx on the inputs of DIR/in.json in ONNX Runtime and prints, for each pair, the largest
// difference as a share of 1 + |value|.
const ort = require('onnxruntime-node'), fs = require('fs'), path = require('path')
const dir = process.argv[2], ins = JSON.parse(fs.readFileSync(path.join(dir, 'in.json')))
const kinds = { float32: Float32Array, int64: BigInt64Array, int32: Int32Array, uint8: Uint8Array, bool: Uint8Array }
;(async () => {
  const feeds = ins.map(x => Object.fromEntries(x.map(v => {
    const b = fs.readFileSync(path.join(dir, v.file))
    return [v.name, new ort.Tensor(v.dtype, new kinds[v.dtype](b.buffer.slice(b.byteOffset, b.byteOffset + b.length)), v.shape)]
  })))
  const out = [], o = { graphOptimizationLevel: 'basic', intraOpNumThreads: 1 } // a session runs once or twice
  for (let i = 0; fs.existsSync(path.join(dir, i + 'a.onnx')); i++) {
    const a = await ort.InferenceSession.create(path.join(dir, i + 'a.onnx'), o), b = await ort.InferenceSession.create(path.join(dir, i + 'b.onnx'), o)
    let worst = 0
    for (const x of feeds) {
      const p = await a.run(x), q = await b.run(x)
      for (const name of a.outputNames) {
        if (p[name].type !== 'float32') continue
        if (p[name].data.length !== q[name].data.length) throw new Error('pair ' + i + ': ' + name + ' has other sizes')
        p[name].data.forEach((v, k) => { const d = Math.abs(v - q[name].data[k]) / (1 + Math.abs(q[name].data[k])); worst = Math.max(worst, isNaN(d) ? 1e9 : d) })
      }
    }
    await a.release(); await b.release()
    out.push(worst)
  }
  console.log(JSON.stringify(out))
})().catch(e => { console.error(String(e)); process.exit(1) })
