package quantize

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sort"

	"fettle/model"
	"fettle/model/packed"
	"fettle/optimizer"
)

// cluster-weights
//
//	Before:     y = Conv(x, W, b)
//	After:      W' = Gather(codebook, Cast(indices)); y = Conv(x, W', b)
//	Conditions: the weights are float32 constants, and indices and codebook take fewer bytes than they do.
//	Formula:    one k-means in one dimension for each weight; indices of 4 bits for up to 16 values, else of 8. table = "nf4": the 16 quantiles of a
//	            normal distribution (nf4.go), W' = Gather(codebook, Cast(indices)) * scale of the block.
//	Exactness:  scored. Readers fold both nodes while they load; the file and the way to the board get smaller, not the work.
//	Paper:      Han et al. 2016, arXiv:1510.00149 (Deep Compression); Dettmers et al. 2023, arXiv:2305.14314 (NF4).

// ClusterOptions are the options of cluster-weights.
type ClusterOptions struct {
	Table     string `opt:"table" enum:"kmeans nf4" help:"the values: fitted to each layer, or the 16 of NF4 times the largest weight of each block" paper:"Dettmers et al. 2023, arXiv:2305.14314"`
	Clusters  int    `opt:"clusters" min:"2" max:"256" help:"different values that the weights of a layer may have" when:"table=kmeans"`
	Start     string `opt:"start" enum:"quantile uniform" help:"values to begin with: where equally many weights lie, or at equal distances" when:"table=kmeans"`
	KeepZeros bool   `opt:"keep_zeros" help:"one of the values is 0 and only weights that are 0 have it, where a layer has such, as after pruning" when:"table=kmeans"`
	Block     int    `opt:"block" min:"0" max:"256" help:"weights along the sums that share a scale; 0: one scale for each output channel" when:"table=nf4"`
	Samples   int    `opt:"samples" min:"2" max:"100000" help:"calibration items to score the result on, where there are such"`
}

// NewCluster makes the pass with its defaults.
func NewCluster() optimizer.Pass {
	return &cluster{ClusterOptions{Table: "kmeans", Block: 64, Clusters: 16, Start: "quantile", KeepZeros: true, Samples: 64}}
}

type cluster struct{ o ClusterOptions }

// Info describes the pass.
func (c *cluster) Info() optimizer.Info {
	return optimizer.Info{Name: "cluster-weights", Title: "Cluster weights", Exactness: optimizer.Scored,
		Promise: "Stores a small table of values for each layer and numbers that point into it; saved as .packed they are Huffman coded.",
		Paper:   "Han et al. 2016, arXiv:1510.00149", Undo: "the weights between the values"}
}

// Options is the struct of options.
func (c *cluster) Options() any { return &c.o }

// Check lists the layers.
func (c *cluster) Check(env *optimizer.Env, m *model.Model) ([]optimizer.Finding, error) {
	s, err := selectNodes(env, m, Options{Weights: "int8", Activations: "none"}, plan{})
	if err != nil {
		return nil, err
	}
	for i := range s.found {
		s.found[i].Rule = "cluster-weights"
	}
	return s.found, nil
}

// Apply makes codebooks.
func (c *cluster) Apply(ctx context.Context, env *optimizer.Env, m *model.Model) (*model.Model, []optimizer.Finding, error) {
	opset, ir := minOpset, int64(minIR)
	if c.o.Clusters <= 16 || c.o.Table == "nf4" {
		opset, ir = 21, 10 // types of 4 bits
	}
	up, err := optimizer.Upgrade(m, opset, ir)
	if err != nil {
		return nil, nil, err
	}
	s, err := selectNodes(env, up, Options{Weights: "int8", Activations: "none"}, plan{})
	if err != nil {
		return nil, nil, err
	}
	w := &codebooks{o: c.o, s: s, used: names(up), ed: edits{inits: map[string]*model.Tensor{}, nodes: map[model.NodeID]*model.Node{}}, made: map[string]made{}, blocks: map[[2]int]string{}}
	for i := range s.found {
		f := &s.found[i]
		f.Rule = "cluster-weights"
		if f.Outcome == optimizer.Applied {
			w.layer(f, s.layers[f.Nodes[0]])
		}
		env.Progress.Report(int64(i+1), int64(len(s.found)), "cluster weights")
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
	}
	if len(w.made) == 0 {
		return m, s.found, nil
	}
	out := w.apply(up)
	if err := out.Graph.Check(nil); err != nil {
		return nil, nil, err
	}
	found := append(s.found, optimizer.Finding{Rule: "cluster-weights", Label: "codebooks", Outcome: optimizer.Applied,
		Reason: fmt.Sprintf("%d bytes of weights became %d, %d saved as .packed", w.before, w.after, w.coded)})
	if env.Data == nil || env.Data.Len() == 0 {
		return out, found, nil
	}
	j := &job{env: env}
	if j.batch, err = loadItems(ctx, env.Data, c.o.Samples, c.o.Samples); err != nil {
		return nil, nil, err
	}
	if j.want, err = outputs(ctx, env, m, j.batch.judges()); err != nil {
		return nil, nil, err
	}
	f, err := j.judge(ctx, out)
	if err != nil {
		return nil, nil, err
	}
	found[len(found)-1].Reason += fmt.Sprintf("; outputs on %s: %s", j.where(), f)
	return out, found, nil
}

// codebooks writes the tables.
type codebooks struct {
	o                    ClusterOptions
	s                    *selection
	used                 map[string]bool
	ed                   edits
	made                 map[string]made // by weight
	ahead                []*model.Node
	before, after, coded int
	nf4                  string            // the table of NF4, which all layers share
	blocks               map[[2]int]string // numbers of blocks, by the length of the axis and of a block
}

type made struct {
	value  string // the weight that layers read now
	reason string
	saved  int64
}

// layer gives a layer its table, or that of a layer before with the same weight.
func (w *codebooks) layer(f *optimizer.Finding, l *layer) {
	t := w.s.view.Const(l.weight)
	x, known := w.made[l.weight]
	if !known && w.o.Table == "nf4" {
		y, size, small, ok := w.normal(l, t)
		if !ok {
			f.Outcome, f.Reason = optimizer.Refused, fmt.Sprintf("%d weights are too few to gain from scales and a table", t.Len())
			return
		}
		x = y
		w.before, w.after, w.coded = w.before+len(t.Raw), w.after+size, w.coded+small
		w.made[l.weight] = x
	} else if !known {
		values, at := kmeans(model.Data[float32](t), w.o)
		dt := model.Uint8
		if w.o.Clusters <= 16 {
			dt = model.Uint4
		}
		index := model.NewTensor(dt, t.Shape...)
		for i, k := range at {
			index.SetInt64(i, int64(k))
		}
		book := model.Float32s(values, len(values))
		size := len(index.Raw) + len(book.Raw)
		if size >= len(t.Raw) {
			f.Outcome, f.Reason = optimizer.Refused, fmt.Sprintf("%d weights are too few to gain from a table of %d values", t.Len(), len(values))
			return
		}
		small := packed.Size(index.Raw) + len(book.Raw)
		w.before, w.after, w.coded = w.before+len(t.Raw), w.after+size, w.coded+small
		x = made{value: w.write(l, index, book), saved: int64(len(t.Raw) - size),
			reason: fmt.Sprintf("%d values, %.2f bits a weight by their frequencies; %d bytes, %d Huffman coded", len(values), entropy(at, len(values)), size, small)}
		w.made[l.weight] = x
	}
	f.Reason, f.Gain.Bytes = x.reason, x.saved
	if known {
		f.Reason, f.Gain.Bytes = "shares the table of an earlier layer", 0
	}
	n := w.ed.node(l.node)
	n.Inputs[1] = x.value
}

// write adds the constants and nodes of a table.
func (w *codebooks) write(l *layer, index, book *model.Tensor) string {
	return w.gather(l, w.constant(l.weight+"_codebook", book), index, "_clustered")
}

// gather reads a table by indices.
func (w *codebooks) gather(l *layer, book string, index *model.Tensor, suffix string) string {
	in := w.constant(l.weight+"_indices", index)
	wide, out := fresh(w.used, l.weight+"_index"), fresh(w.used, l.weight+suffix)
	w.node(l, "Cast", "Cast", []string{in}, wide, model.IntAttr("to", int64(model.Int32)))
	w.node(l, "Gather", "Gather", []string{book, wide}, out, model.IntAttr("axis", 0))
	return out
}

// node adds an operator that stands before the layers. What tells apart those of one layer.
func (w *codebooks) node(l *layer, op, what string, in []string, out string, attrs ...model.Attr) {
	n := &model.Node{Op: op, Inputs: in, Outputs: []string{out}, Attrs: attrs}
	n.ID, n.Name, n.Origin = model.Derive("cluster "+what, l.node.ID), fresh(w.used, out+"_"+op), l.node.Origin
	w.ahead = append(w.ahead, n)
}

// apply makes the new model; the nodes of the tables stand first.
func (w *codebooks) apply(m *model.Model) *model.Model {
	g := w.ed.apply(m).Graph
	out := &model.Graph{Name: g.Name, Doc: g.Doc, Nodes: append(slices.Clone(w.ahead), g.Nodes...), Inputs: g.Inputs, Outputs: g.Outputs,
		Inits: g.Inits, Values: g.Values, Meta: g.Meta, Unknown: g.Unknown}
	return m.WithGraph(out)
}

// kmeans gives the values in rising order and the value of each weight. Values that no weight has are left out.
//
// Source: Lloyd 1982; weights are sorted once, so a round costs a search for each border.
func kmeans(w []float32, o ClusterOptions) ([]float32, []int) {
	sorted := slices.Clone(w)
	slices.Sort(sorted)
	clusters := o.Clusters
	zeros := o.KeepZeros && slices.Contains(sorted, 0)
	if zeros {
		sorted = slices.DeleteFunc(sorted, func(x float32) bool { return x == 0 })
		clusters--
	}
	values := means(sorted, clusters, o.Start)
	if zeros {
		at, _ := slices.BinarySearch(values, 0)
		values = slices.Insert(values, at, 0)
	}
	at := make([]int, len(w))
	for i, x := range w {
		k, _ := slices.BinarySearch(values, x)
		best := -1
		for _, c := range []int{k - 2, k - 1, k, k + 1} {
			if c < 0 || c >= len(values) || zeros && (x == 0) != (values[c] == 0) {
				continue
			}
			if best < 0 || math.Abs(float64(x-values[c])) < math.Abs(float64(x-values[best])) {
				best = c
			}
		}
		at[i] = best
	}
	return values, at
}

// means gives at most k values for sorted numbers.
func means(sorted []float32, k int, start string) []float32 {
	n := len(sorted)
	if n == 0 {
		return nil
	}
	sum := make([]float64, n+1)
	for i, x := range sorted {
		sum[i+1] = sum[i] + float64(x)
	}
	values := make([]float64, k)
	for i := range values {
		share := (float64(i) + 0.5) / float64(k)
		if values[i] = float64(sorted[min(int(share*float64(n)), n-1)]); start == "uniform" {
			values[i] = float64(sorted[0]) + share*float64(sorted[n-1]-sorted[0])
		}
	}
	for range 200 {
		values = slices.Compact(values)
		next := make([]float64, 0, len(values))
		from := 0
		for i := range values {
			to := n
			if i+1 < len(values) {
				border := (values[i] + values[i+1]) / 2
				to = max(from, sort.Search(n, func(j int) bool { return float64(sorted[j]) > border }))
			}
			if to > from {
				next = append(next, (sum[to]-sum[from])/float64(to-from))
			}
			from = to
		}
		if slices.Equal(next, values) {
			break
		}
		values = next
	}
	out := make([]float32, len(values))
	for i, v := range values {
		out[i] = float32(v)
	}
	return slices.Compact(out)
}

// entropy is the bits that an index needs at least, by how often each occurs.
func entropy(at []int, k int) float64 {
	count := make([]float64, k)
	for _, c := range at {
		count[c]++
	}
	bits := 0.0
	for _, c := range count {
		if c > 0 {
			bits -= c * math.Log2(c/float64(len(at)))
		}
	}
	return bits / float64(len(at))
}
