// node scripts/paired-accuracy.js A.onnx[,A2.onnx…] B.onnx[,B2.onnx…] DIR [N]: top-1 of two CIFAR-10 classifiers in ONNX Runtime on the same N pictures of DIR/<class>/*.jpg, and
// the difference B - A with its 95 % interval over pairs (only pictures on which one of them is right and the other is not count).
// Of several pairs each is told, and the mean of all with the interval over pictures of each picture's mean difference.
const ort = require('onnxruntime-node'), fs = require('fs'), path = require('path'), jpeg = require('jpeg-js')
const [fileA, fileB, dir, count] = process.argv.slice(2)
const mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225], side = 32, batch = 50

function pixels(files) {
  const x = new Float32Array(files.length * 3 * side * side)
  files.forEach((f, k) => {
    const { data } = jpeg.decode(fs.readFileSync(f), { useTArray: true })
    for (let c = 0; c < 3; c++) {
      for (let p = 0; p < side * side; p++) x[(k * 3 + c) * side * side + p] = (data[4 * p + c] / 255 - mean[c]) / std[c]
    }
  })
  return new ort.Tensor('float32', x, [files.length, 3, side, side])
}

async function answers(session, x, n) {
  const y = (await session.run({ [session.inputNames[0]]: x }))[session.outputNames[0]].data
  const classes = y.length / n
  return Array.from({ length: n }, (_, k) => {
    const row = Array.from(y.slice(k * classes, (k + 1) * classes))
    return row.indexOf(Math.max(...row))
  })
}

async function main() {
  const open = files => Promise.all(files.split(',').map(f => ort.InferenceSession.create(f, { intraOpNumThreads: 1 })))
  const as = await open(fileA), bs = await open(fileB)
  if (as.length !== bs.length) throw new Error(`${as.length} and ${bs.length} files`)
  const classes = fs.readdirSync(dir).sort(), each = Math.ceil((+count || 2000) / classes.length)
  const pairs = as.map(() => ({ rightA: 0, rightB: 0, onlyA: 0, onlyB: 0 })), diffs = [] // diffs: of each picture, the mean over pairs
  for (let c = 0; c < classes.length; c++) {
    const files = fs.readdirSync(path.join(dir, classes[c])).sort().slice(0, each).map(f => path.join(dir, classes[c], f))
    for (let at = 0; at < files.length; at += batch) {
      const part = files.slice(at, at + batch), x = pixels(part), sum = part.map(() => 0)
      for (let k = 0; k < as.length; k++) {
        const p = await answers(as[k], x, part.length), q = await answers(bs[k], x, part.length), s = pairs[k]
        part.forEach((_, i) => {
          const l = p[i] === c, r = q[i] === c
          s.rightA += l; s.rightB += r; s.onlyA += l && !r; s.onlyB += r && !l
          sum[i] += (r - l) / as.length
        })
      }
      diffs.push(...sum)
    }
  }
  const n = diffs.length, pc = v => (100 * v).toFixed(2)
  const tell = (name, a, b, diff, half, more) => console.log(`${name}: A ${pc(a)}, B ${pc(b)}, B - A ${pc(diff)} +- ${pc(half)} points${more}`)
  pairs.forEach((s, k) => {
    const diff = (s.onlyB - s.onlyA) / n, half = 1.96 * Math.sqrt((s.onlyA + s.onlyB) / n - diff * diff) / Math.sqrt(n)
    tell(pairs.length > 1 ? `pair ${k + 1}, ${n} pictures` : `${n} pictures`, s.rightA / n, s.rightB / n, diff, half, ` (only A right ${s.onlyA}, only B right ${s.onlyB})`)
  })
  if (pairs.length < 2) return
  const mean = diffs.reduce((s, d) => s + d, 0) / n, spread = diffs.reduce((s, d) => s + (d - mean) ** 2, 0) / (n - 1)
  const of = key => pairs.reduce((s, p) => s + p[key], 0) / pairs.length / n
  tell(`all ${pairs.length} pairs`, of('rightA'), of('rightB'), mean, 1.96 * Math.sqrt(spread / n), '')
}

main().catch(e => { console.error(String(e)); process.exit(1) })
