package rewrite

import (
	"math"
	"sort"

	"fettle/model"
	"fettle/optimizer"
)

// fuse-gelu
//
//	Before:     y = x/2 (1 + erf(x/sqrt 2)), or y = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
//	            of Mul, Div, Add, Sub, Pow, Erf, Tanh and scalar constants, in any order
//	After:      y = Gelu(x)                                    from opset 20 on
//	            y = com.microsoft.Gelu(x) or FastGelu(x)       before
//	Conditions: nothing else reads the values in between and none is an output; float32; the constants are those of
//	            the formula up to 2e-6.
//	Exactness:  rounding: one kernel rounds otherwise than a chain.
//	Paper:      Hendrycks and Gimpel 2016, arXiv:1606.08415.
//
// The formula is compared as an expression: the chain is multiplied out to A(x) + B(x) f with f = erf or tanh, so that every order of
// factors that exporters write is one case.

const microsoft = "com.microsoft"

// NewFuseGelu makes the pass; it has no options.
func NewFuseGelu() optimizer.Pass {
	return &optimizer.RulePass{
		About: optimizer.Info{Name: "fuse-gelu", Title: "Fuse GELU", Exactness: optimizer.Rounding,
			Promise: "Makes one node of the formula of GELU, which exporters write as five to eight."},
		Rules: func() []optimizer.Rule {
			return []optimizer.Rule{{Name: "fuse-gelu", Check: checkGelu, Replace: fuseGelu,
				Pattern: func(v *optimizer.View, n *model.Node) []*model.Node {
					if g := matchGelu(v, n); g != nil {
						return g.nodes
					}
					return nil
				}}}
		},
	}
}

// expression is A(x) + B(x) f, with the coefficients of 1, x, x^2 and x^3.
type expression struct{ a, b [4]float64 }

func (e expression) times(o expression) (p expression, ok bool) {
	for i := range 4 {
		for j := range 4 {
			a, b, c := e.a[i]*o.a[j], e.a[i]*o.b[j]+e.b[i]*o.a[j], e.b[i]*o.b[j]
			if i+j > 3 && (a != 0 || b != 0) || c != 0 {
				return p, false
			}
			if i+j <= 3 {
				p.a[i+j] += a
				p.b[i+j] += b
			}
		}
	}
	return p, true
}

func (e expression) plus(o expression, sign float64) expression {
	for i := range 4 {
		e.a[i] += sign * o.a[i]
		e.b[i] += sign * o.b[i]
	}
	return e
}

// number is the value of a constant expression.
func (e expression) number() (float64, bool) {
	c := e.a[0]
	e.a[0] = 0
	return c, e == expression{}
}

func (e expression) is(a, b [4]float64) bool {
	for i := range 4 {
		if math.Abs(e.a[i]-a[i]) > 2e-6*math.Abs(a[i]) || math.Abs(e.b[i]-b[i]) > 2e-6*math.Abs(b[i]) {
			return false
		}
	}
	return true
}

// geluMatch reads a chain as an expression of the value x.
type geluMatch struct {
	v     *optimizer.View
	x     string
	f     *model.Node // the Erf or Tanh
	seen  map[model.NodeID]bool
	nodes []*model.Node
}

// maxGelu bounds the nodes of a chain; the longest that exporters write has nine.
const maxGelu = 16

func arithmetic(n *model.Node) bool {
	return standard(n, "Mul") || standard(n, "Div") || standard(n, "Add") || standard(n, "Sub") || standard(n, "Pow")
}

// matchGelu matches the chain that ends with n.
func matchGelu(v *optimizer.View, n *model.Node) *geluMatch {
	if !standard(n, "Mul") && !standard(n, "Div") {
		return nil
	}
	for _, x := range candidates(v, n) {
		g := &geluMatch{v: v, x: x, seen: map[model.NodeID]bool{}}
		y, ok := g.value(n.Outputs[0])
		if !ok || g.f == nil || !y.is([4]float64{0, 0.5}, [4]float64{0, 0.5}) {
			continue
		}
		arg, ok := g.value(g.f.Inputs[0])
		if !ok {
			continue
		}
		root := math.Sqrt(2 / math.Pi)
		if g.f.Op == "Erf" && arg.is([4]float64{0, math.Sqrt2 / 2}, [4]float64{}) || g.f.Op == "Tanh" && arg.is([4]float64{0, root, 0, root * 0.044715}, [4]float64{}) {
			sort.Slice(g.nodes, func(i, j int) bool { return v.G.Position(g.nodes[i].ID) < v.G.Position(g.nodes[j].ID) })
			return g
		}
	}
	return nil
}

// candidates lists the values that may be x, if there is an Erf or Tanh among the nodes before n.
func candidates(v *optimizer.View, n *model.Node) []string {
	var out []string
	known, found := map[string]bool{}, false
	queue := []*model.Node{n}
	for i := 0; i < len(queue) && i < maxGelu; i++ {
		for _, in := range queue[i].Inputs {
			if in == "" || known[in] || v.Const(in) != nil {
				continue
			}
			known[in] = true
			out = append(out, in)
			p := v.G.Producer(in)
			f := standard(p, "Erf") || standard(p, "Tanh")
			found = found || f
			if p != nil && (f || arithmetic(p)) {
				queue = append(queue, p)
			}
		}
	}
	if !found {
		return nil
	}
	return out
}

// value reads a value; false where it is nothing of the formula.
func (g *geluMatch) value(name string) (e expression, ok bool) {
	if name == g.x {
		e.a[1] = 1
		return e, true
	}
	if t := g.v.Const(name); t != nil {
		if t.Len() != 1 || t.DType != model.Float32 || t.Rank() > len(g.v.Type(g.x).Shape) {
			return e, false
		}
		e.a[0] = t.Float64At(0)
		return e, true
	}
	n := g.v.G.Producer(name)
	f := standard(n, "Erf") || standard(n, "Tanh")
	if n == nil || !f && (!arithmetic(n) || len(n.Inputs) != 2) || len(g.nodes) > maxGelu {
		return e, false
	}
	if !g.seen[n.ID] {
		g.seen[n.ID] = true
		g.nodes = append(g.nodes, n)
	}
	if f {
		if g.f != nil && g.f.ID != n.ID {
			return e, false
		}
		g.f, e.b[0] = n, 1
		return e, true
	}
	a, okA := g.value(n.Inputs[0])
	b, okB := g.value(n.Inputs[1])
	if !okA || !okB {
		return e, false
	}
	c, isNumber := b.number()
	switch {
	case n.Op == "Mul":
		return a.times(b)
	case n.Op == "Add":
		return a.plus(b, 1), true
	case n.Op == "Sub":
		return a.plus(b, -1), true
	case n.Op == "Div" && isNumber && c != 0:
		return a.times(expression{a: [4]float64{1 / c}})
	case n.Op == "Pow" && isNumber && (c == 2 || c == 3):
		e, ok = a.times(a)
		if ok && c == 3 {
			return e.times(a)
		}
		return e, ok
	}
	return e, false
}

func checkGelu(v *optimizer.View, nodes []*model.Node) string {
	last := nodes[len(nodes)-1]
	g := matchGelu(v, last)
	if t := v.Type(g.x); t.DType != model.Float32 || !t.Ranked {
		return "the value " + g.x + " is " + t.String() + ", a float32 tensor of known rank is needed"
	}
	for _, n := range nodes[:len(nodes)-1] {
		if why := v.OtherReader(n.Outputs[0], nodes...); why != "" {
			return why
		}
	}
	return ""
}

func fuseGelu(v *optimizer.View, nodes []*model.Node) (*optimizer.Rewrite, string) {
	last := nodes[len(nodes)-1]
	g := matchGelu(v, last)
	n := &model.Node{ID: v.Fresh(nodes...), Name: last.Name, Op: "Gelu", Inputs: []string{g.x}, Outputs: []string{last.Outputs[0]}, Origin: model.MergeOrigins(nodes...)}
	rw := &optimizer.Rewrite{Patch: model.Patch{Add: []*model.Node{n}, DropInits: v.Unread(nodes...)}}
	tanh := g.f.Op == "Tanh"
	switch {
	case v.M.Opset("") >= 20:
		if tanh {
			n.Attrs = []model.Attr{model.StrAttr("approximate", "tanh")}
		}
	default:
		n.Domain = microsoft
		if tanh {
			n.Op = "FastGelu"
		}
		rw.Patch.Opsets = []model.Opset{{Domain: microsoft, Version: 1}}
	}
	for _, d := range nodes {
		rw.Patch.Drop = append(rw.Patch.Drop, d.ID)
	}
	return rw, ""
}
