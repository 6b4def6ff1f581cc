package train

import (
	"math"

	"fettle/model"
)

// curve is a function of one number and its derivative, from the number and the value.
type curve struct {
	f     func(x float64) float64
	slope func(x, y float64) float64
}

// curves is the table of operators that act on each number alone, with the attributes that they read.
func curves() map[string]func(n *model.Node) curve {
	plain := func(f func(x float64) float64, slope func(x, y float64) float64) func(*model.Node) curve {
		return func(*model.Node) curve { return curve{f, slope} }
	}
	gate := func(x, y float64, open func() float64) float64 { // y = x*g: slope g + x*g'
		return y/nonzero(x) + x*open()
	}
	return map[string]func(n *model.Node) curve{
		"Abs":        plain(math.Abs, func(x, _ float64) float64 { return sign(x) }),
		"Neg":        plain(func(x float64) float64 { return -x }, func(_, _ float64) float64 { return -1 }),
		"Exp":        plain(math.Exp, func(_, y float64) float64 { return y }),
		"Log":        plain(math.Log, func(x, _ float64) float64 { return 1 / x }),
		"Sqrt":       plain(math.Sqrt, func(_, y float64) float64 { return 0.5 / y }),
		"Reciprocal": plain(func(x float64) float64 { return 1 / x }, func(_, y float64) float64 { return -y * y }),
		"Erf":        plain(math.Erf, func(x, _ float64) float64 { return 2 / math.Sqrt(math.Pi) * math.Exp(-x*x) }),
		"Sin":        plain(math.Sin, func(x, _ float64) float64 { return math.Cos(x) }),
		"Cos":        plain(math.Cos, func(x, _ float64) float64 { return -math.Sin(x) }),
		"Tanh":       plain(math.Tanh, func(_, y float64) float64 { return 1 - y*y }),
		"Sigmoid":    plain(sigmoid, func(_, y float64) float64 { return y * (1 - y) }),
		"Softsign":   plain(func(x float64) float64 { return x / (1 + math.Abs(x)) }, func(x, _ float64) float64 { return 1 / square(1+math.Abs(x)) }),
		"Softplus":   plain(softplus, func(x, _ float64) float64 { return sigmoid(x) }),
		"Mish": plain(func(x float64) float64 { return x * math.Tanh(softplus(x)) }, func(x, y float64) float64 {
			return gate(x, y, func() float64 { return (1 - square(math.Tanh(softplus(x)))) * sigmoid(x) })
		}),
		"Identity": plain(func(x float64) float64 { return x }, func(_, _ float64) float64 { return 1 }),
		"Dropout":  plain(func(x float64) float64 { return x }, func(_, _ float64) float64 { return 1 }), // as in use: nothing is dropped
		"Swish": func(n *model.Node) curve {
			a := float64(n.Float("alpha", 1))
			return curve{func(x float64) float64 { return x * sigmoid(a*x) }, func(x, _ float64) float64 {
				s := sigmoid(a * x)
				return s + a*x*s*(1-s)
			}}
		},
		"HardSwish": plain(func(x float64) float64 { return x * min(max(x/6+0.5, 0), 1) }, func(x, _ float64) float64 {
			return min(max(x/6+0.5, 0), 1) + x*step(x, -3, 3)/6
		}),
		"HardSigmoid": func(n *model.Node) curve {
			a, b := float64(n.Float("alpha", 0.2)), float64(n.Float("beta", 0.5))
			return curve{func(x float64) float64 { return min(max(a*x+b, 0), 1) }, func(x, _ float64) float64 { return a * step(a*x+b, 0, 1) }}
		},
		"LeakyRelu": func(n *model.Node) curve {
			a := float64(n.Float("alpha", 0.01))
			return curve{func(x float64) float64 { return max(x, 0) + a*min(x, 0) }, func(x, _ float64) float64 { return pick(x > 0, 1, a) }}
		},
		"ThresholdedRelu": func(n *model.Node) curve {
			a := float64(n.Float("alpha", 1))
			return curve{func(x float64) float64 { return pick(x > a, x, 0) }, func(x, _ float64) float64 { return pick(x > a, 1, 0) }}
		},
		"Elu": func(n *model.Node) curve {
			a := float64(n.Float("alpha", 1))
			return curve{func(x float64) float64 { return pick(x > 0, x, a*math.Expm1(min(x, 0))) }, func(x, y float64) float64 { return pick(x > 0, 1, y+a) }}
		},
		"Celu": func(n *model.Node) curve {
			a := float64(n.Float("alpha", 1))
			return curve{func(x float64) float64 { return max(x, 0) + a*math.Expm1(min(x, 0)/a) }, func(x, _ float64) float64 { return math.Exp(min(x, 0) / a) }}
		},
		"Selu": func(n *model.Node) curve {
			a, g := float64(n.Float("alpha", 1.67326319217681884765625)), float64(n.Float("gamma", 1.05070102214813232421875))
			return curve{func(x float64) float64 { return g * pick(x > 0, x, a*math.Expm1(min(x, 0))) }, func(x, y float64) float64 { return pick(x > 0, g, y+g*a) }}
		},
		"Gelu": func(n *model.Node) curve {
			if n.Str("approximate", "none") == "tanh" {
				c := math.Sqrt(2 / math.Pi)
				return curve{func(x float64) float64 { return 0.5 * x * (1 + math.Tanh(c*(x+0.044715*x*x*x))) }, func(x, _ float64) float64 {
					h := math.Tanh(c * (x + 0.044715*x*x*x))
					return 0.5*(1+h) + 0.5*x*(1-h*h)*c*(1+3*0.044715*x*x)
				}}
			}
			return curve{func(x float64) float64 { return 0.5 * x * (1 + math.Erf(x/math.Sqrt2)) }, func(x, _ float64) float64 {
				return 0.5*(1+math.Erf(x/math.Sqrt2)) + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
			}}
		},
	}
}

func sigmoid(x float64) float64  { return 1 / (1 + math.Exp(-x)) }
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }
func square(x float64) float64   { return x * x }
func sign(x float64) float64     { return pick(x > 0, 1, pick(x < 0, -1, 0)) }

// step is 1 between two bounds.
func step(x, lo, hi float64) float64 { return pick(x > lo && x < hi, 1, 0) }

func nonzero(x float64) float64 { return pick(x == 0, math.SmallestNonzeroFloat64, x) }

func pick(first bool, a, b float64) float64 {
	if first {
		return a
	}
	return b
}

// unary is the rule of an operator of curves.
func unary[T float](of func(n *model.Node) curve) rule[T] {
	return rule[T]{
		forward: func(t *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
			c, y := of(n), t.array(in[0].shape...)
			t.spread(len(y.v), func(from, to int) {
				for i := from; i < to; i++ {
					y.v[i] = T(c.f(float64(in[0].v[i])))
				}
			})
			return y, y, nil
		},
		backward: func(t *tape[T], n *model.Node, in []*array[T], saved any, dy *array[T]) ([]*array[T], error) {
			c, y, dx := of(n), saved.(*array[T]), t.array(dy.shape...)
			t.spread(len(dx.v), func(from, to int) {
				for i := from; i < to; i++ {
					dx.v[i] = T(float64(dy.v[i]) * c.slope(float64(in[0].v[i]), float64(y.v[i])))
				}
			})
			return []*array[T]{dx}, nil
		},
	}
}
