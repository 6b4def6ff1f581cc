// node run.js MODEL IN_DIR OUT_DIR: runs MODEL in ONNX Runtime once for each line of IN_DIR/list.json and writes
// raw outputs and their types to OUT_DIR/outputs.json. list.json: [{"name": {"dtype", "shape", "file"}}, …], files hold
// little-endian elements. ORT_LEVEL=disabled runs the graph as written.
const ort = require('onnxruntime-node'), fs = require('fs'), path = require('path')
const kinds = {
  float32: Float32Array, float64: Float64Array, int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array,
  int32: Int32Array, uint32: Uint32Array, int64: BigInt64Array, uint64: BigUint64Array, bool: Uint8Array
}
const bytes = a => Buffer.from(a.buffer, a.byteOffset, a.byteLength)
async function main ([model, from, to]) {
  const session = await ort.InferenceSession.create(model, { graphOptimizationLevel: process.env.ORT_LEVEL || 'all', intraOpNumThreads: 1 })
  const all = []
  for (const feeds of JSON.parse(fs.readFileSync(path.join(from, 'list.json')))) {
    const inputs = {}
    for (const [name, t] of Object.entries(feeds)) {
      const raw = fs.readFileSync(path.join(from, t.file))
      inputs[name] = new ort.Tensor(t.dtype, new kinds[t.dtype](raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.length)), t.shape)
    }
    const result = await session.run(inputs)
    all.push(session.outputNames.map((name, i) => {
      const t = result[name], file = `out-${all.length}-${i}`
      fs.writeFileSync(path.join(to, file), bytes(t.data))
      return { name, dtype: t.type, shape: Array.from(t.dims, Number), file }
    }))
  }
  fs.writeFileSync(path.join(to, 'outputs.json'), JSON.stringify(all))
}
main(process.argv.slice(2)).catch(e => { console.error(String(e)); process.exit(1) })
