package main

import (
	"math"
	"slices"

	. "fettle/kernels/_asm/arm64gen/asm"
)

// Registers of actSpan, beside eLo, eHi and eTmp.
const sDst, sN, sKind X = 1, 2, 3

// Activation functions in place. Codes are those of cpu.ActKind.
const (
	actReLU        = 1
	actClamp       = 2
	actLeaky       = 3
	actHardSwish   = 4
	actSiLU        = 5
	actSigmoid     = 6
	actHardSigmoid = 7
)

// expConsts are the constants of expVecs in the order of the lanes of V24-V26.
func expConsts() []float32 {
	return []float32{1.44269504088896341, 0.693359375, -2.12194440e-4, 88.72, // V24: log2 e, ln 2 in two parts, bounds
		1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, // V25
		1.6666665459e-1, 5.0000001201e-1, 1, -87.33} // V26
}

// data declares float32 constants as read-only data.
func (g *gen) data(name string, c []float32) {
	g.Raw("\n")
	for i, v := range c {
		g.Raw("DATA %s<>+%d(SB)/4, $0x%08x\n", name, 4*i, math.Float32bits(v))
	}
	g.Raw("GLOBL %s<>(SB), RODATA|NOPTR, $%d\n", name, 4*len(c))
}

// expVecs computes e[i] = exp(z[i]) with z clamped to -87.33..88.37; z is destroyed, n are temporaries. The constants lie in V24-V26; V27 and V29
// are temporaries, V28 holds ones. Source: the argument reduction and polynomial of Cephes' expf (relative error 2e-7).
func (g *gen) expVecs(z, e, n []VReg) {
	each := func(f func(i int)) {
		for i := range z {
			f(i)
		}
	}
	c := func(i int) Arr { return V[24+i/4].S(i % 4) }
	t := V[27]
	g.DUP(t.S4, c(3))
	each(func(i int) { g.FMIN(z[i].S4, z[i].S4, t.S4) })
	g.DUP(t.S4, c(11))
	each(func(i int) { g.FMAX(z[i].S4, z[i].S4, t.S4) })
	each(func(i int) { g.FMUL(n[i].S4, z[i].S4, c(0)) })
	each(func(i int) { g.FRINTN(n[i].S4, n[i].S4) })
	each(func(i int) { g.FMLS(z[i].S4, n[i].S4, c(1)) })
	each(func(i int) { g.FMLS(z[i].S4, n[i].S4, c(2)) })
	each(func(i int) { g.FCVTNS(n[i].S4, n[i].S4) })
	each(func(i int) { g.SHL(n[i].S4, n[i].S4, 23) })
	// Horner: FMLA adds to the coefficient, so the running value goes through a copy of each
	g.DUP(t.S4, c(5))
	each(func(i int) { g.MOV(e[i], t) })
	each(func(i int) { g.FMLA(e[i].S4, z[i].S4, c(4)) })
	x := V[29] // the next coefficient plus z times the running value
	for k := 6; k <= 10; k++ {
		each(func(i int) {
			g.DUP(x.S4, c(k))
			g.FMLA(x.S4, e[i].S4, z[i].S4)
			g.MOV(e[i], x)
		})
	}
	each(func(i int) {
		g.MOV(x, V[28])
		g.FMLA(x.S4, e[i].S4, z[i].S4)
		g.ADD(e[i].S4, x.S4, n[i].S4) // times 2^n: x lies in 0.7..1.5, so adding to the exponent cannot overflow
	})
}

// actSpan applies an activation in place to nt vectors: by fours, then one by one.
func (g *gen) actSpan() {
	g.data("expConst", expConsts())
	g.data("sigConst", sigConsts())
	g.data("sigSteps", sigSteps())
	g.kernel("actSpan", "dwArgs", "applies the activation act to nt lines of 4 floats at dst, in place.")
	g.load(8, sDst)
	g.load(48, sN)
	g.load(64, sKind)
	g.G("ADD $72, R0, %v", eLo)
	g.G("ADD $76, R0, %v", eHi)
	g.actConsts("expConst")
	g.G("CBZ %v, none", sKind)
	spans := []struct {
		code int
		name string
		f    func(x, y []VReg)
	}{
		{actReLU, "relu", func(x, y []VReg) {
			for i := range x {
				g.FMAX(y[i].S4, x[i].S4, V[23].S4)
			}
		}},
		{actClamp, "clamp", g.clampVecs},
		{actLeaky, "leaky", g.leakyVecs},
		{actHardSwish, "hswish", func(x, y []VReg) { g.hard(x, y); g.times(x, y) }},
		{actHardSigmoid, "hsig", g.hard},
		{actSigmoid, "sig", func(x, y []VReg) { g.sigmoid(x, y, nil) }},
		{actSiLU, "silu", func(x, y []VReg) { g.sigmoid(x, y, x) }},
	}
	for _, s := range spans[:len(spans)-1] {
		g.G("CMP $%d, %v", s.code, sKind)
		g.G("BEQ %s", s.name)
	}
	for i := range spans {
		s := spans[len(spans)-1-i] // the last one falls through
		g.Label(s.name)
		if s.code == actSigmoid || s.code == actSiLU {
			g.sigHead()
		}
		g.span(s.name, s.f)
	}
	g.Label("none")
	g.G("RET")
}

// span loops over nt vectors at sDst.
func (g *gen) span(name string, f func(x, y []VReg)) {
	one, loop4, loop1 := name+"one", name+"four", name+"last"
	g.G("SUBS $4, %v, %v", sN, sN)
	g.G("BLT %s", one)
	g.Label(loop4)
	g.LD1(vr(0, 4), sDst)
	f(vr(0, 4), vr(4, 4))
	g.ST1P(vr(4, 4), sDst, XZR)
	g.G("SUBS $4, %v, %v", sN, sN)
	g.G("BGE %s", loop4)
	g.Label(one)
	g.G("ADDS $4, %v, %v", sN, sN)
	g.G("BEQ none")
	g.Label(loop1)
	g.LD1(vr(0, 1), sDst)
	f(vr(0, 1), vr(4, 1))
	g.ST1P(vr(4, 1), sDst, XZR)
	g.G("SUBS $1, %v, %v", sN, sN)
	g.G("BNE %s", loop1)
	g.G("RET")
}

// hard is y = min(max(lo*x+hi, 0), 1).
func (g *gen) hard(x, y []VReg) {
	for i := range x {
		g.MOV(y[i], V[31])
		g.FMLA(y[i].S4, x[i].S4, V[30].S4)
		g.FMAX(y[i].S4, y[i].S4, V[23].S4)
		g.FMIN(y[i].S4, y[i].S4, V[28].S4)
	}
}

func (g *gen) times(x, y []VReg) {
	for i := range x {
		g.FMUL(y[i].S4, y[i].S4, x[i].S4)
	}
}

// sigMagic is 1.5*2^23 + 127: a small number added to it is rounded, and its lowest bits are the exponent field of 2 to the power of that.
const sigMagic = 12583039

// sigSteps are the constants that sums of sigmoid begin with, each for four vectors: one load takes the place of four copies.
func sigSteps() []float32 {
	l := slices.Repeat([]float32{sigMagic}, 16)
	for _, i := range []int{4, 5, 6, 7} {
		l = append(l, slices.Repeat(sigConsts()[i:i+1], 16)...)
	}
	return append(l, slices.Repeat([]float32{1}, 32)...)
}

// sigConsts are the constants of sigmoid and of exp2Vecs, broadcast to V16-V22, V27, V30 and V31: -log2 e, the upper bound of x, the lower one of the
// exponent, the coefficients of 2^f for f in -0.5..0.5, the fifth to the first, sigMagic, the lower bound of x; the constant one is 1. Source:
// interpolation of (2^f-1)/f at Chebyshev nodes; relative error 2e-7.
func sigConsts() []float32 {
	return []float32{-1.44269504088896341, 87.33, -126, 0.0013381302123889327, 0.00966636836528778, 0.055503811687231064, 0.2402234971523285, 0.6931471824645996, sigMagic, -87.33}
}

// sigmoid is y = num / (1 + 2^n 2^f) with n + f = -x log2 e; num nil means 1. V20-V23 are temporaries. Its constants are loaded by sigHead, which
// leaves eTmp at sigSteps.
func (g *gen) sigmoid(x, y, num []VReg) {
	z, n := vr(8, len(x)), vr(12, len(x))
	each := func(f func(i int)) {
		for i := range x {
			f(i)
		}
	}
	step := 0
	begin := func(d []VReg) { // of a sum
		if len(d) == 4 {
			g.LD1P(d, eTmp, XZR)
		} else {
			for i := range d {
				g.LDR(d[i], eTmp, 64*step+16*i)
			}
		}
		step++
	}
	each(func(i int) { g.FMIN(z[i].S4, x[i].S4, V[17].S4) })
	begin(n)
	each(func(i int) { g.FMAX(z[i].S4, z[i].S4, V[31].S4) })
	f := y
	each(func(i int) { g.FMLA(n[i].S4, z[i].S4, V[16].S4) })
	each(func(i int) { g.FSUB(f[i].S4, V[30].S4, n[i].S4) }) // -n
	each(func(i int) { g.FMLA(f[i].S4, z[i].S4, V[16].S4) })
	each(func(i int) { g.SHL(n[i].S4, n[i].S4, 23) }) // 2^n
	// Horner: FMLA adds to the coefficient, so the running value changes between two registers, which the coefficients are loaded into
	t := vr(20, len(x))
	begin(t)
	each(func(i int) { g.FMLA(t[i].S4, f[i].S4, V[19].S4) })
	from, to := t, z
	for range 4 {
		begin(to)
		each(func(i int) { g.FMLA(to[i].S4, from[i].S4, f[i].S4) })
		from, to = to, from
	}
	begin(y)
	each(func(i int) { g.FMLA(y[i].S4, from[i].S4, n[i].S4) })
	if len(x) == 4 {
		g.G("SUB $%d, %v, %v", 64*step, eTmp, eTmp)
	}
	// By Newton's method this takes 20 instructions more for 16 values and, by LLVM's tables, 43 cycles less on a Cortex-A72; no board has
	// decided yet. Both in turn would make results depend on where a tile begins.
	each(func(i int) {
		v := V[28]
		if num != nil {
			v = num[i]
		}
		g.FDIV(y[i].S4, v.S4, y[i].S4)
	})
}

// sigHead loads the constants of sigmoid.
func (g *gen) sigHead() {
	g.G("MOVD $sigConst<>(SB), %v", eTmp)
	for _, v := range []VReg{V[16], V[17], V[18], V[19], V[20], V[21], V[22], V[27], V[30], V[31]} {
		g.LDnRP([]VReg{v}, V[0].S4, eTmp, XZR)
	}
	g.G("MOVD $sigSteps<>(SB), %v", eTmp)
}
