package main

import (
	"math"

	. "fettle/kernels/_asm/arm64gen/asm"
)

// Kernels of eltwise: whole lines of 16 floats, four vectors; tails are the caller's. The functions of act.go use V0-V3 as input, V4-V7 as
// result, V8-V15 and V27, V29 as temporaries and V23-V26, V28, V30, V31 as constants; here V16-V19 hold |x| and V20, V21 a constant each.
const eDst, eA, eB, eN, eStep, eLo, eHi, eConst, eTmp X = 1, 2, 3, 4, 5, 6, 7, 8, 9

// eltConsts are the constants beside expConsts.
func eltConsts() []float32 {
	return []float32{2, 0.625, -5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1,
		0.5, 0.3275911, 1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592, float32(math.Inf(1)), 88.722839, 10, -87.33,
		1.2055332982e-4, -8.5483270234e-4, 5.2239776254e-3, -2.6866170645e-2, 0.11283791671, -0.37612638903, 1.1283791671, geluPoly[0], geluPoly[1],
		geluPoly[2], geluPoly[3], geluPoly[4], geluPoly[5], geluPoly[6], geluMost}
}

// geluPoly is P, highest coefficient first, in cdf(x) = 1/(1 + exp(x P(x*x))) of the normal distribution, as amd64gen has it for powers of two.
var geluPoly = []float32{-3.610690090e-09, 2.668708005e-07, -7.937895560e-06, 1.104781732e-04, 6.626654004e-05, -7.266857640e-02, -1.595768452e+00}

const geluMost = 27

// konst loads a constant of eltConsts into all lanes.
func (g *gen) konst(v VReg, c float32) {
	for i, x := range eltConsts() {
		if x == c {
			g.G("ADD $%d, %v, %v", 4*i, eConst, eTmp)
			g.LDnR([]VReg{v}, V[0].S4, eTmp)
			return
		}
	}
	panic("constant not declared")
}

func eltwiseKernels(g *gen) {
	g.data("expConst", expConsts())
	g.data("eltConst", eltConsts())
	g.data("sigConst", sigConsts())
	g.data("sigSteps", sigSteps())
	ops := []struct {
		name string
		f    func(d, n, m Arr)
	}{{"add", g.FADD}, {"sub", g.FSUB}, {"mul", g.FMUL}, {"div", g.FDIV}, {"max", g.FMAX}, {"min", g.FMIN}}
	for _, op := range ops {
		g.eltHead(op.name+"N", "is dst = a "+op.name+" b; step is the distance of lines in b.")
		g.eltLoop(func() {
			g.LD1P(vr(0, 4), eA, XZR)
			g.LD1P(vr(4, 4), eB, eStep)
			for i := range 4 {
				op.f(V[i].S4, V[i].S4, V[4+i].S4)
			}
			g.ST1P(vr(0, 4), eDst, XZR)
		})
	}
	funcs := []struct {
		name string
		f    func(x, y []VReg)
	}{
		{"clamp", g.clampVecs}, {"leaky", g.leakyVecs}, {"hardswish", func(x, y []VReg) { g.hard(x, y); g.times(x, y) }}, {"hardsigmoid", g.hard},
		{"sigmoid", func(x, y []VReg) { g.sigmoid(x, y, nil) }}, {"silu", func(x, y []VReg) { g.sigmoid(x, y, x) }},
		{"tanh", g.tanh}, {"gelu", g.gelu}, {"exp", g.exp}, {"erf", g.erf},
	}
	for _, fn := range funcs {
		g.eltHead(fn.name+"N", "is dst = "+fn.name+"(a); step is the distance of lines in both.")
		g.actConsts("expConst")
		if fn.name == "sigmoid" || fn.name == "silu" {
			g.sigHead()
		}
		g.G("MOVD $eltConst<>(SB), %v", eConst)
		g.eltLoop(func() {
			g.LD1P(vr(0, 4), eA, eStep)
			fn.f(vr(0, 4), vr(4, 4))
			g.ST1P(vr(4, 4), eDst, eStep)
		})
	}
	g.rowPasses()
	g.eltHead("stepsN", "rounds a to whole multiples, from lo to hi, of the scale at b; what is no number becomes the least.")
	g.LDnR(vr(25, 1), V[0].S4, eLo)
	g.LDnR(vr(26, 1), V[0].S4, eHi)
	g.LDnR(vr(27, 1), V[0].S4, eB)
	g.ZERO(V[28])
	g.eltLoop(func() {
		g.LD1P(vr(0, 4), eA, XZR)
		for _, v := range vr(0, 4) {
			g.FDIV(v.S4, v.S4, V[27].S4)
		}
		for _, v := range vr(0, 4) {
			g.FMAXNM(v.S4, v.S4, V[25].S4)
		}
		for _, v := range vr(0, 4) {
			g.FMIN(v.S4, v.S4, V[26].S4)
		}
		for _, v := range vr(0, 4) {
			g.FRINTN(v.S4, v.S4)
		}
		for _, v := range vr(0, 4) {
			g.FADD(v.S4, v.S4, V[28].S4) // integers know no -0
		}
		for _, v := range vr(0, 4) {
			g.FMUL(v.S4, v.S4, V[27].S4)
		}
		g.ST1P(vr(0, 4), eDst, XZR)
	})
	for _, op := range []string{"sum", "maximum", "dot"} {
		g.eltHead(op+"N", "folds lines of a (dot: a times b) into the line at dst.")
		g.LD1(vr(0, 4), eDst)
		loop := g.NewLabel("line")
		g.Label(loop)
		g.LD1P(vr(4, 4), eA, XZR)
		if op == "dot" {
			g.LD1P(vr(8, 4), eB, XZR)
		}
		for i := range 4 {
			switch op {
			case "sum":
				g.FADD(V[i].S4, V[i].S4, V[4+i].S4)
			case "maximum":
				g.FMAX(V[i].S4, V[i].S4, V[4+i].S4)
			case "dot":
				g.FMLA(V[i].S4, V[4+i].S4, V[8+i].S4)
			}
		}
		g.G("SUBS $1, %v, %v", eN, eN)
		g.G("BNE %s", loop)
		if op == "maximum" { // of all places, in each
			g.FMAX(V[0].S4, V[0].S4, V[1].S4)
			g.FMAX(V[2].S4, V[2].S4, V[3].S4)
			g.FMAX(V[0].S4, V[0].S4, V[2].S4)
			for _, n := range []int{8, 4} {
				g.EXT(V[1].B16, V[0].B16, V[0].B16, n)
				g.FMAX(V[0].S4, V[0].S4, V[1].S4)
			}
			for i := 1; i < 4; i++ {
				g.MOV(V[i], V[0])
			}
		}
		g.ST1(vr(0, 4), eDst)
		g.G("RET")
	}
	g.eltHead("axpyN", "is dst += a * lo.")
	g.LDnR(vr(30, 1), V[0].S4, eLo)
	g.eltLoop(func() {
		g.LD1P(vr(4, 4), eA, XZR)
		g.LD1(vr(0, 4), eDst)
		for i := range 4 {
			g.FMLA(V[i].S4, V[4+i].S4, V[30].S4)
		}
		g.ST1P(vr(0, 4), eDst, XZR)
	})
}

func (g *gen) eltHead(name, doc string) {
	g.kernel(name, "eargs", doc)
	for i, r := range []X{eDst, eA, eB, eN, eStep} {
		g.load(8*i, r)
	}
	g.G("ADD $40, R0, %v", eLo)
	g.G("ADD $44, R0, %v", eHi)
}

func (g *gen) eltLoop(body func()) {
	loop := g.NewLabel("line")
	g.Label(loop)
	body()
	g.G("SUBS $1, %v, %v", eN, eN)
	g.G("BNE %s", loop)
	g.G("RET")
}

// actConsts sets the registers that the functions of act.go read; eLo and eHi point at the parameters.
func (g *gen) actConsts(table string) {
	g.LDnR(vr(30, 1), V[0].S4, eLo)
	g.LDnR(vr(31, 1), V[0].S4, eHi)
	g.G("MOVD $%s<>(SB), %v", table, eTmp)
	g.LD1(vr(24, 3), eTmp)
	g.DUP(V[28].S4, V[26].S(2)) // 1
	g.ZERO(V[23])
}

func (g *gen) clampVecs(x, y []VReg) {
	for i := range x {
		g.FMAX(y[i].S4, x[i].S4, V[30].S4)
		g.FMIN(y[i].S4, y[i].S4, V[31].S4)
	}
}

func (g *gen) leakyVecs(x, y []VReg) {
	for i := range x {
		g.FMAX(y[i].S4, x[i].S4, V[23].S4)
		g.FMIN(x[i].S4, x[i].S4, V[23].S4)
		g.FMLA(y[i].S4, x[i].S4, V[30].S4)
	}
}

// horner computes y = c[0] z^n + ... + c[n].
func (g *gen) horner(z, y []VReg, c ...float32) {
	for k, v := range c {
		g.konst(V[20], v)
		for i := range y {
			if k == 0 {
				g.MOV(y[i], V[20])
				continue
			}
			g.MOV(V[29], V[20])
			g.FMLA(V[29].S4, y[i].S4, z[i].S4)
			g.MOV(y[i], V[29])
		}
	}
}

// exp is expVecs with 0 below -87.33 and infinity above 88.7.
func (g *gen) exp(x, y []VReg) {
	z, n := vr(8, 4), vr(12, 4)
	for i := range x {
		g.MOV(z[i], x[i])
	}
	g.expVecs(z, y, n)
	g.konst(V[20], -87.33)
	for i := range x {
		g.FCMGT(z[i].S4, V[20].S4, x[i].S4)
		g.BIT(y[i].B16, V[23].B16, z[i].B16)
	}
	g.konst(V[20], 88.722839)
	g.konst(V[21], float32(math.Inf(1)))
	for i := range x {
		g.FCMGT(z[i].S4, x[i].S4, V[20].S4)
		g.BIT(y[i].B16, V[21].B16, z[i].B16)
	}
}

// sign gives y the sign of x; z and n are temporaries.
func (g *gen) sign(x, y, z, n []VReg) {
	for i := range x {
		g.FNEG(n[i].S4, y[i].S4)
		g.FCMGT(z[i].S4, V[23].S4, x[i].S4)
		g.BIT(y[i].B16, n[i].B16, z[i].B16)
	}
}

// tanh is an odd polynomial below 0.625 (Cephes tanhf), else 1 - 2/(exp 2|x| + 1) with the sign of x.
func (g *gen) tanh(x, y []VReg) {
	z, n, a := vr(8, 4), vr(12, 4), vr(16, 4)
	for i := range x {
		g.FABS(a[i].S4, x[i].S4)
		g.FADD(z[i].S4, a[i].S4, a[i].S4)
	}
	g.expVecs(z, y, n)
	g.konst(V[20], 2)
	for i := range x {
		g.FADD(y[i].S4, y[i].S4, V[28].S4)
		g.FDIV(y[i].S4, V[20].S4, y[i].S4)
		g.FSUB(y[i].S4, V[28].S4, y[i].S4)
	}
	g.sign(x, y, z, n)
	for i := range x {
		g.FMUL(z[i].S4, x[i].S4, x[i].S4)
	}
	g.horner(z, n, -5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
	g.konst(V[20], 0.625)
	for i := range x {
		g.FMUL(n[i].S4, n[i].S4, z[i].S4)
		g.MOV(V[29], x[i])
		g.FMLA(V[29].S4, n[i].S4, x[i].S4)
		g.FCMGT(z[i].S4, V[20].S4, a[i].S4)
		g.BIT(y[i].B16, V[29].B16, z[i].B16)
	}
}

// gelu is x cdf(x) with cdf(x) = 1/(1 + exp(x P(x*x))).
func (g *gen) gelu(x, y []VReg) {
	z, n := vr(8, 4), vr(12, 4)
	g.konst(V[20], geluMost)
	for i := range x {
		g.FMUL(z[i].S4, x[i].S4, x[i].S4)
		g.FMIN(z[i].S4, z[i].S4, V[20].S4)
	}
	g.horner(z, n, geluPoly...)
	for i := range x {
		g.FMUL(z[i].S4, n[i].S4, x[i].S4)
	}
	g.expVecs(z, y, n)
	for i := range x {
		g.FADD(y[i].S4, y[i].S4, V[28].S4)
		g.FDIV(y[i].S4, x[i].S4, y[i].S4)
	}
}

// erf is erf(x) by Abramowitz and Stegun 7.1.26, error 1.5e-7, with a polynomial near zero, where the relative error counts.
func (g *gen) erf(x, y []VReg) {
	z, n, a := vr(8, 4), vr(12, 4), vr(16, 4)
	g.konst(V[21], 10)
	for i := range x {
		g.FABS(a[i].S4, x[i].S4)
		g.FMIN(a[i].S4, a[i].S4, V[21].S4)
		g.FMUL(z[i].S4, a[i].S4, a[i].S4)
		g.FNEG(z[i].S4, z[i].S4)
	}
	g.expVecs(z, y, n)
	g.konst(V[20], 0.3275911)
	for i := range x {
		g.MOV(n[i], V[28])
		g.FMLA(n[i].S4, a[i].S4, V[20].S4)
		g.FDIV(z[i].S4, V[28].S4, n[i].S4) // t of the book
	}
	g.horner(z, n, 1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
	for i := range x {
		g.FMUL(n[i].S4, n[i].S4, z[i].S4)
		g.FMUL(n[i].S4, n[i].S4, y[i].S4) // 1 - erf |x|
		g.FSUB(y[i].S4, V[28].S4, n[i].S4)
	}
	g.sign(x, y, z, n)
	for i := range x {
		g.FMUL(z[i].S4, x[i].S4, x[i].S4)
	}
	g.horner(z, n, 1.2055332982e-4, -8.5483270234e-4, 5.2239776254e-3, -2.6866170645e-2, 0.11283791671, -0.37612638903, 1.1283791671)
	g.konst(V[20], 0.5)
	for i := range x {
		g.FMUL(n[i].S4, n[i].S4, x[i].S4)
		g.FCMGT(z[i].S4, V[20].S4, a[i].S4)
		g.BIT(y[i].B16, n[i].B16, z[i].B16)
	}
}
