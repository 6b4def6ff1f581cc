package ops

import (
	"fmt"
	"hash/fnv"
	"math/rand"
	"testing"

	"fettle/model"
)

// TestPartialTypes infers nodes that run while less is known of their inputs: dimensions are symbols, ranks or dtypes are
// missing. What is inferred may then be less, but is never wrong, and nothing panics. Costs are asked for on the way.
func TestPartialTypes(t *testing.T) {
	rounds := 80
	if testing.Short() {
		rounds = 20
	}
	for _, def := range All() {
		t.Run(def.Domain+":"+def.Name, func(t *testing.T) {
			h := fnv.New64a()
			h.Write([]byte("partial" + def.Domain + def.Name))
			for i := range rounds {
				d := &draw{r: rand.New(rand.NewSource(int64(h.Sum64()) + int64(i)))}
				x := d.example(def)
				if x.node.Op == "Loop" {
					continue // may rightly run for ever
				}
				out, err := evaluated(x)
				if err != nil {
					continue
				}
				for what := range 4 {
					known, err := forgotten(d, x, what)
					if err != nil {
						t.Fatalf("round %d ran, but with less known Infer refuses it: %v\n%s", i, err, x)
					}
					for k, name := range x.node.Outputs {
						if why := agrees(out[k], known[name]); why != "" {
							t.Fatalf("round %d, output %d %s%v: %s\n%s", i, k, out[k].DType, out[k].Shape, why, x)
						}
					}
				}
			}
		})
	}
}

// forgotten infers x's model after forgetting: 0 nothing, 1 some sizes, 2 shapes, 3 everything.
func forgotten(d *draw, x *example, what int) (types map[string]model.Type, err error) {
	defer caught(&err)
	g := &model.Graph{Name: "g", Nodes: x.m.Graph.Nodes, Outputs: x.m.Graph.Outputs}
	for n, v := range x.m.Graph.Inputs {
		ty := v.Type
		if ty.Kind == model.KindTensor {
			switch what {
			case 1:
				s := append(model.Shape{}, ty.Shape...)
				for i := range s {
					if d.in(50) {
						s[i] = model.Sym(pickOf(d, "", fmt.Sprint("s", n, "_", i)))
					}
				}
				ty.Shape = s
			case 2:
				ty = model.Type{DType: ty.DType}
			case 3:
				ty = model.Type{}
			}
		}
		g.Inputs = append(g.Inputs, model.Value{Name: v.Name, Type: ty})
	}
	m := x.m.WithGraph(g)
	inf, _, err := Infer(m, nil)
	if err != nil {
		return nil, err
	}
	def, err := Lookup(x.node.Domain, x.node.Op, m.Opset(x.node.Domain))
	if err != nil {
		return nil, err
	}
	if def.Cost != nil {
		f := &Inference{Node: x.node, Def: def, Opset: m.Opset(x.node.Domain)}
		for _, name := range x.node.Inputs {
			f.In = append(f.In, inf.Types[name])
		}
		for _, name := range x.node.Outputs {
			f.Out = append(f.Out, inf.Types[name])
		}
		if c := def.Cost(f); c.MACs < 0 || c.Ops < 0 || c.Bytes < 0 {
			return nil, fmt.Errorf("a cost of %+v", c)
		}
	}
	return inf.Types, nil
}
