// node ort.js DIR FIRST END FILE: runs DIR/N.onnx for N = FIRST, … below END in ONNX Runtime on the inputs that DIR/list.json
// describes and appends a line to DIR/FILE for each: its outputs, or the error. Elements are raw in base64, texts JSON.
const ort = require('onnxruntime-node'), fs = require('fs'), path = require('path')
const kinds = {
  float32: Float32Array, float64: Float64Array, float16: Uint16Array, int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array,
  int32: Int32Array, uint32: Uint32Array, int64: BigInt64Array, uint64: BigUint64Array, bool: Uint8Array
}
async function main (dir, first, end, file) {
  const done = r => fs.appendFileSync(path.join(dir, file), JSON.stringify(r) + '\n')
  for (const [n, feeds] of JSON.parse(fs.readFileSync(path.join(dir, 'list.json'))).entries()) {
    if (n < first || n >= end) continue
    try {
      const session = await ort.InferenceSession.create(path.join(dir, n + '.onnx'), { graphOptimizationLevel: 'disabled', intraOpNumThreads: 1, logSeverityLevel: 4, enableCpuMemArena: false, enableMemPattern: false })
      const inputs = {}
      for (const t of feeds || []) {
        const raw = Buffer.from(t.data || '', 'base64')
        inputs[t.name] = new ort.Tensor(t.dtype, new kinds[t.dtype](raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.length)), t.shape)
      }
      const result = await session.run(inputs)
      done({ outputs: session.outputNames.map(name => {
        const t = result[name], raw = t.type === 'string' ? Buffer.from(JSON.stringify(t.data)) : Buffer.from(t.data.buffer, t.data.byteOffset, t.data.byteLength)
        return { name, dtype: t.type, shape: Array.from(t.dims, Number), data: raw.toString('base64') }
      }) })
      await session.release()
    } catch (e) {
      done({ error: String(e) })
    }
  }
}
main(process.argv[2], +process.argv[3], +process.argv[4], process.argv[5]).catch(e => { console.error(String(e)); process.exit(1) })
