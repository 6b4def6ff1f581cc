package cpu

import "math"

// ActKind names an activation function that kernels apply while they store.
type ActKind uint8

// Activation functions; A and B are the parameters in Act.
const (
	None        ActKind = iota
	ReLU                // max(x, 0)
	Clamp               // min(max(x, A), B)
	LeakyReLU           // x < 0 ? A*x : x
	HardSwish           // x * min(max(A*x+B, 0), 1), usually A = 1/6, B = 1/2
	SiLU                // x / (1 + exp(-x))
	Sigmoid             // 1 / (1 + exp(-x))
	HardSigmoid         // min(max(A*x+B, 0), 1)
	Tanh
	GELU // x/2 * (1 + erf(x/sqrt 2))
	Exp
	Erf
)

// Act is an activation function with its parameters.
type Act struct {
	Kind ActKind
	A, B float32
}

func (k ActKind) String() string {
	n := [...]string{"none", "relu", "clamp", "leakyrelu", "hardswish", "silu", "sigmoid", "hardsigmoid", "tanh", "gelu", "exp", "erf"}
	if int(k) < len(n) {
		return n[k]
	}
	return "act?"
}

// Fusable tells whether convolution and matrix product apply it in their store.
func (a Act) Fusable() bool { return a.Kind <= HardSigmoid }

// Apply is the definition, in float64.
func (a Act) Apply(x float64) float64 {
	switch a.Kind {
	case ReLU:
		return math.Max(x, 0)
	case Clamp:
		return math.Min(math.Max(x, float64(a.A)), float64(a.B))
	case LeakyReLU:
		if x < 0 {
			return float64(a.A) * x
		}
	case HardSwish:
		return x * math.Min(math.Max(float64(a.A)*x+float64(a.B), 0), 1)
	case HardSigmoid:
		return math.Min(math.Max(float64(a.A)*x+float64(a.B), 0), 1)
	case SiLU:
		return x / (1 + math.Exp(-x))
	case Sigmoid:
		return 1 / (1 + math.Exp(-x))
	case Tanh:
		return math.Tanh(x)
	case GELU:
		return x / 2 * (1 + math.Erf(x/math.Sqrt2))
	case Exp:
		return math.Exp(x)
	case Erf:
		return math.Erf(x)
	}
	return x
}
