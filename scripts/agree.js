// agree.js pictures OUT W H SCALE MEANS CHANNELS CROPS FILE... - samples [1, 3, H, W] as .npy files in OUT: of each .jpg its whole and CROPS - 1 parts of it at random places, every
// second one mirrored. A value is (pixel - mean) * SCALE; MEANS of the three channels with commas between, CHANNELS rgb or bgr. Which parts follows from the file's place in the list.
// agree.js table NAME BEFORE AFTER REPORT AGREED - one line of a table from the two files, the report of the recipe and what scripts/quant/kept.js said.
const fs = require('fs'), path = require('path')

function npy(values, shape) {
  const head = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape.join(', ')}), }`.padEnd(117) + '\n', b = Buffer.alloc(10)
  b.write('\x93NUMPY\x01\x00', 0, 'latin1')
  b.writeUInt16LE(head.length, 8)
  return Buffer.concat([b, Buffer.from(head, 'latin1'), Buffer.from(values.buffer)])
}

// part is the piece {x, y, w, h} of a picture, scaled between its pixels.
function part(picture, piece, mirrored, o) {
  const { width, height, data } = picture, out = new Float32Array(3 * o.w * o.h)
  const between = (at, n) => { const v = Math.min(Math.max(at, 0), n - 1), i = Math.min(Math.floor(v), n - 2); return [i, v - i] }
  for (let y = 0; y < o.h; y++) {
    const [i, u] = between(piece.y + (y + 0.5) * piece.h / o.h - 0.5, height)
    for (let x = 0; x < o.w; x++) {
      const [j, v] = between(piece.x + ((mirrored ? o.w - 1 - x : x) + 0.5) * piece.w / o.w - 0.5, width)
      for (let c = 0; c < 3; c++) {
        const p = (r, s) => data[4 * (r * width + s) + c]
        const value = (1 - u) * ((1 - v) * p(i, j) + v * p(i, j + 1)) + u * ((1 - v) * p(i + 1, j) + v * p(i + 1, j + 1))
        const channel = o.channels === 'bgr' ? 2 - c : c
        out[(channel * o.h + y) * o.w + x] = (value - o.means[channel % o.means.length]) * o.scale
      }
    }
  }
  return out
}

function pictures([out, w, h, scale, means, channels, crops, ...files]) {
  const jpeg = require('jpeg-js'), o = { w: +w, h: +h, scale: +scale, means: means.split(',').map(Number), channels }
  fs.mkdirSync(out, { recursive: true })
  let n = fs.readdirSync(out).length
  files.forEach((file, k) => {
    const picture = jpeg.decode(fs.readFileSync(file), { useTArray: true })
    let state = k + 1
    const random = () => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return state / 2 ** 32 }
    for (let i = 0; i < +crops; i++) {
      const share = i === 0 ? 1 : 0.5 + 0.5 * random(), cw = picture.width * share, ch = picture.height * share
      const piece = { x: random() * (picture.width - cw), y: random() * (picture.height - ch), w: cw, h: ch }
      fs.writeFileSync(path.join(out, `${String(n++).padStart(5, '0')}.npy`), npy(part(picture, piece, i % 2 === 1, o), [1, 3, o.h, o.w]))
    }
  })
}

function table([name, before, after, report, agreed]) {
  const steps = JSON.parse(fs.readFileSync(report)).steps, first = steps[0].before, last = steps[steps.length - 1].after
  const kB = f => Math.round(fs.statSync(f).size / 1000), M = v => v < 0 ? '?' : (v / 1e6).toFixed(1)
  let ms = 'not cut'
  for (const s of steps) for (const f of s.findings || []) ms = (/([\d.]+) ms before, ([\d.]+) ms after/.exec(f.reason) || ['']).slice(1).join(' -> ') || ms
  console.log(`| ${name} | ${M(first.macs)} -> ${M(last.macs)} M | ${kB(before)} -> ${kB(after)} kB | ${ms} | ${agreed} |`)
}

const [kind, ...rest] = process.argv.slice(2)
if (kind === 'pictures') pictures(rest)
else if (kind === 'table') table(rest)
else { console.error('agree.js pictures|table ...'); process.exit(2) }
