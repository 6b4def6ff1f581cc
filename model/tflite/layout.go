package tflite

import "fettle/model"

// spatial are the operators that the format computes with channels last.
var spatial = map[string]bool{"Conv": true, "fettle:Conv": true, "MaxPool": true, "AveragePool": true, "GlobalAveragePool": true, "GlobalMaxPool": true, "Resize": true, "Upsample": true,
	"DepthToSpace": true, "SpaceToDepth": true}

// movers are the operators whose input and output are ordered independently.
var movers = map[string]bool{"Reshape": true, "Flatten": true, "Squeeze": true, "Unsqueeze": true, "Transpose": true, "MatMul": true, "fettle:MatMul": true, "Gemm": true, "fettle:Gemm": true,
	"Gather": true, "LayerNormalization": true}

// layout decides which values of four dimensions are stored with channels last: those that hang together, by operators that work in any
// order, with one that a spatial operator reads or makes.
func (e *exporter) layout() {
	root := map[string]string{}
	var find func(string) string
	find = func(x string) string {
		p, ok := root[x]
		if !ok || p == x {
			return x
		}
		p = find(p)
		root[x] = p
		return p
	}
	pictures := map[string]bool{}
	four := func(name string) bool {
		t := e.facts.Types[name]
		return name != "" && t.Ranked && len(t.Shape) == 4 && e.facts.Consts[name] == nil
	}
	touched := func(n *model.Node) (out []string) {
		for _, name := range append(append([]string{}, n.Inputs...), n.Outputs...) {
			if four(name) {
				out = append(out, name)
			}
		}
		return out
	}
	for _, n := range e.g.Nodes {
		if movers[opName(n)] {
			continue
		}
		l := touched(n)
		for _, name := range l {
			root[find(name)] = find(l[0])
		}
	}
	for _, n := range e.g.Nodes {
		if spatial[opName(n)] {
			for _, name := range touched(n) {
				pictures[find(name)] = true
			}
		}
	}
	e.last = map[string]bool{}
	for name := range e.facts.Types {
		if four(name) {
			e.last[name] = pictures[find(name)]
		}
	}
}
