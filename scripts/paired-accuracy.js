// node scripts/paired-accuracy.js A.onnx B.onnx DIR [N]: top-1 of two CIFAR-10 classifiers in ONNX Runtime on the same N pictures of DIR/<class>/*.jpg, and
// the difference B - A with its 95 % interval over pairs (only pictures on which one of them is right and the other is not count).
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
  const a = await ort.InferenceSession.create(fileA), b = await ort.InferenceSession.create(fileB)
  const classes = fs.readdirSync(dir).sort(), each = Math.ceil((+count || 2000) / classes.length)
  let n = 0, rightA = 0, rightB = 0, onlyA = 0, onlyB = 0
  for (let c = 0; c < classes.length; c++) {
    const files = fs.readdirSync(path.join(dir, classes[c])).sort().slice(0, each).map(f => path.join(dir, classes[c], f))
    for (let at = 0; at < files.length; at += batch) {
      const part = files.slice(at, at + batch), x = pixels(part)
      const p = await answers(a, x, part.length), q = await answers(b, x, part.length)
      part.forEach((_, k) => {
        const l = p[k] === c, r = q[k] === c
        n++; rightA += l; rightB += r; onlyA += l && !r; onlyB += r && !l
      })
    }
  }
  const diff = (onlyB - onlyA) / n, half = 1.96 * Math.sqrt((onlyA + onlyB) / n - diff * diff) / Math.sqrt(n)
  const pc = v => (100 * v).toFixed(2)
  console.log(`${n} pictures: A ${pc(rightA / n)}, B ${pc(rightB / n)}, B - A ${pc(diff)} +- ${pc(half)} points (only A right ${onlyA}, only B right ${onlyB})`)
}

main().catch(e => { console.error(String(e)); process.exit(1) })
