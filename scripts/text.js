// text.js OUT.onnx - an encoder of texts as exporters write BERT: ids, mask and token types [N, 32] become 6 logits; 2 layers, 64 wide, 4 heads, 256 inside, GELU spelled out with Erf.
// Weights are random numbers, the same every time. scripts/quant/samples.js texts makes inputs.
const fs = require('fs')
const words = 1000, length = 32, width = 64, heads = 4, inner = 256, layers = 2, classes = 6

// Protocol buffers: numbers, and pieces with their length before them.
const varint = v => { const b = []; let n = BigInt.asUintN(64, BigInt(v)); do { b.push(Number(n & 127n) | (n > 127n ? 128 : 0)); n >>= 7n } while (n > 0n); return Buffer.from(b) }
const num = (field, v) => Buffer.concat([varint(field << 3), varint(v)])
const piece = (field, b) => { const x = Buffer.isBuffer(b) ? b : Buffer.from(b); return Buffer.concat([varint(field << 3 | 2), varint(x.length), x]) }
const float = (field, v) => { const b = Buffer.alloc(4); b.writeFloatLE(v); return Buffer.concat([varint(field << 3 | 5), b]) }

let state = 12345
const random = () => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return state / 2 ** 32 }
const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
const nodes = [], inits = []
function constant(name, dims, values, type = 1) {
  const raw = type === 1 ? Buffer.from(Float32Array.from(values).buffer) : Buffer.from(BigInt64Array.from(values.map(BigInt)).buffer)
  inits.push(Buffer.concat([...dims.map(d => num(1, d)), num(2, type), piece(8, name), piece(9, raw)]))
  return name
}
const weight = (name, dims, by) => constant(name, dims, Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => by * normal()))
const scalar = (name, v) => constant(name, [], [v])
const int64 = (name, ...v) => constant(name, [v.length], v, 7)
function node(op, name, inputs, attributes = {}) {
  const list = Object.entries(attributes).map(([k, v]) => piece(5, Buffer.concat([piece(1, k), ...(Array.isArray(v) ? [...v.map(x => num(8, x)), num(20, 7)] : Number.isInteger(v) ? [num(3, v), num(20, 2)] : [float(2, v), num(20, 1)])])))
  nodes.push(Buffer.concat([...inputs.map(x => piece(1, x)), piece(2, name), piece(3, name), piece(4, op), ...list]))
  return name
}
const dense = (name, x, from, to) => node('Add', `${name}/add`, [node('MatMul', name, [x, weight(`${name}.w`, [from, to], Math.sqrt(1 / from))]), weight(`${name}.b`, [to], 0.1)])
const norm = (name, x) => node('LayerNormalization', name, [x, constant(`${name}.g`, [width], Array(width).fill(1)), weight(`${name}.b`, [width], 0.1)], { axis: -1 })
const info = (name, type, dims) => Buffer.concat([piece(1, name), piece(2, piece(1, Buffer.concat([num(1, type), piece(2, Buffer.concat(dims.map(d => piece(1, typeof d === 'string' ? piece(2, d) : num(1, d)))))])))])

const embed = (name, rows, x) => node('Gather', name, [weight(`${name}.table`, [rows, width], 1), x])
let x = node('Add', 'embed', [node('Add', 'embed/words', [embed('words', words, 'ids'), embed('kinds', 2, 'types')]), weight('places', [1, length, width], 0.5)])
x = norm('embed/norm', x)
const there = node('Unsqueeze', 'there', [node('Cast', 'mask/float', ['mask'], { to: 1 }), int64('axes', 1, 2)])
const hidden = node('Mul', 'hidden', [node('Sub', 'away', [scalar('one', 1), there]), scalar('far', -10000)])
const split = int64('split', 0, length, heads, width / heads), join = int64('join', 0, length, width)
for (let l = 0; l < layers; l++) {
  const n = s => `layer${l}/${s}`
  const part = (s, perm) => node('Transpose', n(`${s}/heads`), [node('Reshape', n(`${s}/split`), [dense(n(s), x, width, width), split])], { perm })
  const q = part('query', [0, 2, 1, 3]), k = part('key', [0, 2, 3, 1]), v = part('value', [0, 2, 1, 3])
  const scores = node('Add', n('masked'), [node('Div', n('scaled'), [node('MatMul', n('scores'), [q, k]), scalar(n('root'), Math.sqrt(width / heads))]), hidden])
  const mixed = node('MatMul', n('mixed'), [node('Softmax', n('softmax'), [scores], { axis: -1 }), v])
  const joined = node('Reshape', n('joined'), [node('Transpose', n('together'), [mixed], { perm: [0, 2, 1, 3] }), join])
  x = norm(n('norm1'), node('Add', n('residual1'), [x, dense(n('out'), joined, width, width)]))
  const up = dense(n('up'), x, width, inner)
  const erf = node('Add', n('erf/one'), [node('Erf', n('erf'), [node('Div', n('erf/in'), [up, scalar(n('root2'), Math.SQRT2)])]), 'one'])
  const gelu = node('Mul', n('gelu'), [node('Mul', n('gelu/twice'), [up, erf]), scalar(n('half'), 0.5)])
  x = norm(n('norm2'), node('Add', n('residual2'), [x, dense(n('down'), gelu, inner, width)]))
}
const first = node('Gather', 'first', [x, constant('zero', [], [0], 7)], { axis: 1 })
const pooled = node('Tanh', 'pooled', [dense('pool', first, width, width)])
nodes.push(Buffer.concat([piece(1, dense('head', pooled, width, classes)), piece(2, 'logits'), piece(3, 'logits'), piece(4, 'Identity')]))
const graph = Buffer.concat([...nodes.map(b => piece(1, b)), piece(2, 'text'), ...inits.map(b => piece(5, b)),
  ...['ids', 'mask', 'types'].map(s => piece(11, info(s, 7, ['N', length]))), piece(12, info('logits', 1, ['N', classes]))])
fs.writeFileSync(process.argv[2], Buffer.concat([num(1, 8), piece(7, graph), piece(8, num(2, 17))]))
