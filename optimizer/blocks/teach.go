package blocks

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/gob"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"fettle/internal/fail"
	"fettle/internal/spec"
	"fettle/internal/task"
	"fettle/model"
	"fettle/optimizer"
)

// work is the making and judging of stand-ins of one model.
type work struct {
	env   *optimizer.Env
	o     Options
	m     *model.Model
	input string
	fit   []map[string]*model.Tensor // what stand-ins learn on
	judge []map[string]*model.Tensor // what judges
	want  [][]float32                // the answers of the model to these
	kl    bool
	whole costs
	begin time.Time

	at, of  int // blocks, for the progress
	known   map[string]kept
	resumed int
	wrote   time.Time
	every   time.Duration // between two records
}

// kept is what a stand-in of a run that was stopped had learned.
type kept struct {
	Weights map[string][]byte // changed constants
	Learned string
}

// costs of a model or a part.
type costs struct{ macs, bytes, ns float64 }

// newWork reads the items, a quarter of which judges, and asks the model about these.
func newWork(ctx context.Context, env *optimizer.Env, o Options, m *model.Model) (*work, error) {
	w := &work{env: env, o: o, m: m, input: m.Graph.Free()[0].Name, begin: time.Now(), known: map[string]kept{}, every: rememberEvery, wrote: time.Now()}
	var all []map[string]*model.Tensor
	err := env.Data.Each(ctx, min(o.Samples, env.Data.Len()), func(_ int, in map[string]*model.Tensor) error {
		c := map[string]*model.Tensor{}
		for k, t := range in {
			c[k] = t.Clone()
		}
		if t := c[w.input]; t == nil || t.DType != model.Float32 || t.Rank() < 1 || t.Shape[0] != 1 {
			return fail.New(fail.Unsupported, "blocks need items of one float32 input with a batch of 1").At(fail.Where{Tensor: w.input})
		}
		all = append(all, c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(all) < 40 {
		return nil, fail.New(fail.Usage, "%d data items are too few to learn from, at least 40 are needed", len(all)).Try("give more data")
	}
	for i, x := range all { // folders come class by class: those that judge are spread over all
		if i%4 == 1 {
			w.judge = append(w.judge, x)
		} else {
			w.fit = append(w.fit, x)
		}
	}
	if w.want, err = w.answers(ctx, m); err != nil {
		return nil, err
	}
	d := m.Graph.Outputs[0].Type.Shape
	w.kl = len(d) == 2 && len(w.want[0]) > 1
	if w.whole, err = w.weigh(ctx, m, w.judge[0]); err != nil {
		return nil, err
	}
	w.recall()
	return w, nil
}

// inner is the environment of a pass that works on one block.
func (w *work) inner(data optimizer.Data) *optimizer.Env {
	return &optimizer.Env{Passes: w.env.Passes, Runner: w.env.Runner, Seed: w.env.Seed, Data: data}
}

// each runs a model on items, in parallel, and hands over the first output of each.
func (w *work) each(ctx context.Context, m *model.Model, items []map[string]*model.Tensor, visit func(i int, out *model.Tensor) error) error {
	var next atomic.Int64
	g := task.NewGroup(ctx)
	for range min(runtime.GOMAXPROCS(0), len(items)) {
		g.Go("run a model", func(ctx context.Context) error {
			s, err := w.env.Open(ctx, m)
			if err != nil {
				return err
			}
			defer s.Close()
			for i := int(next.Add(1)) - 1; i < len(items); i = int(next.Add(1)) - 1 {
				if err := ctx.Err(); err != nil {
					return fail.From(err)
				}
				out, err := s.Run(ctx, items[i])
				if err != nil {
					return err
				}
				if out[0] == nil || out[0].DType != model.Float32 {
					return fail.New(fail.Unsupported, "the model gives no float32 numbers")
				}
				if err := visit(i, out[0]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func (w *work) answers(ctx context.Context, m *model.Model) ([][]float32, error) {
	out := make([][]float32, len(w.judge))
	err := w.each(ctx, m, w.judge, func(i int, y *model.Tensor) error {
		out[i] = slices.Clone(model.Data[float32](y))
		return nil
	})
	return out, err
}

// damage is how far the answers of m are from those of the model before: KL of classes, else the share of the squared size.
func (w *work) damage(ctx context.Context, m *model.Model) (float64, error) {
	got, err := w.answers(ctx, m)
	if err != nil {
		return 0, err
	}
	kl, off, size := 0.0, 0.0, 0.0
	for i, a := range w.want {
		if len(a) != len(got[i]) {
			return 0, fail.New(fail.Internal, "%d numbers, the model before gives %d", len(got[i]), len(a))
		}
		p, q := logs(a), logs(got[i])
		for k := range a {
			kl += math.Exp(p[k]) * (p[k] - q[k]) / float64(len(w.want))
			e := float64(a[k]) - float64(got[i][k])
			off, size = off+e*e, size+float64(a[k])*float64(a[k])
		}
	}
	d := off / math.Max(size, 1e-30)
	if w.kl {
		d = math.Max(kl, 0)
	}
	if math.IsNaN(d) {
		d = math.Inf(1)
	}
	return d, nil
}

// logs is the logarithm of the softmax.
func logs(v []float32) []float64 {
	out := make([]float64, len(v))
	top, sum := math.Inf(-1), 0.0
	for _, x := range v {
		top = math.Max(top, float64(x))
	}
	for _, x := range v {
		sum += math.Exp(float64(x) - top)
	}
	for i, x := range v {
		out[i] = float64(x) - top - math.Log(sum)
	}
	return out
}

// values are what a block of the teacher reads, as data for passes.
type values struct {
	name  string
	items []*model.Tensor
}

// Len is the number of items.
func (v values) Len() int { return len(v.items) }

// Hash names the values; nothing that a block's passes make outlives the pass.
func (v values) Hash() string { return "values of " + v.name }

// Each hands the items over.
func (v values) Each(ctx context.Context, limit int, visit func(i int, inputs map[string]*model.Tensor) error) error {
	n := len(v.items)
	if limit > 0 {
		n = min(n, limit)
	}
	for k := range n { // spread over all
		if err := ctx.Err(); err != nil {
			return fail.From(err)
		}
		if err := visit(k, map[string]*model.Tensor{v.name: v.items[k*len(v.items)/n]}); err != nil {
			return err
		}
	}
	return nil
}

// mostBytes bounds the values that are kept of a block.
const mostBytes = 256 << 20

// read runs the teacher up to the block.
func (w *work) read(ctx context.Context, b *block) (values, error) {
	size := 4
	for _, d := range b.from {
		size *= d
	}
	items := w.fit
	if n := max(mostBytes/size, 24); n < len(items) {
		items = items[:n]
	}
	v := values{b.in, make([]*model.Tensor, len(items))}
	if b.in == w.input {
		for i, x := range items {
			v.items[i] = x[w.input]
		}
		return v, nil
	}
	front, err := w.m.Extract([]string{w.input}, []string{b.in}, map[string]model.Type{b.in: {DType: model.Float32}})
	if err != nil {
		return v, err
	}
	return v, w.each(ctx, front, items, func(i int, y *model.Tensor) error {
		v.items[i] = y.Clone()
		return nil
	})
}

// standIns makes, teaches, weighs and judges what could be in the place of b.
func (w *work) standIns(ctx context.Context, b *block) error {
	data, err := w.read(ctx, b)
	if err != nil {
		return err
	}
	x := map[string]*model.Tensor{b.in: data.items[0]}
	add := func(s *stand) error {
		if s.part != nil {
			c, err := w.weigh(ctx, s.part, x)
			if err != nil {
				return err
			}
			s.macs, s.bytes, s.ns = c.macs, c.bytes, c.ns
		}
		if s.part != b.part {
			if own := b.stands[0]; s.macs >= own.macs && s.bytes >= own.bytes {
				b.refused = append(b.refused, s.name+": no cheaper than the block")
				return nil
			}
			m, err := splice(w.m, b, s, map[string]string{})
			if err != nil {
				return err
			}
			if s.damage, err = w.damage(ctx, m); err != nil {
				return err
			}
		}
		b.stands = append(b.stands, s)
		return nil
	}
	if err := add(&stand{name: theBlock, part: b.part}); err != nil {
		return err
	}
	for k, kind := range kinds() {
		if !w.o.tries(kind) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return fail.From(err)
		}
		w.env.Progress.Report(int64(w.at*len(kinds())+k), int64(w.of*len(kinds())), fmt.Sprintf("block %d of %d: %s", w.at+1, w.of, kind))
		s := &stand{name: kind}
		if kind == "identity" {
			if !slices.Equal(b.from, b.to) {
				b.refused = append(b.refused, "identity: it changes the shape")
				continue
			}
			if w.m.Graph.Output(b.out) != nil {
				b.refused = append(b.refused, "identity: its value is an output of the model")
				continue
			}
		} else {
			why := ""
			if s.part, s.learned, why, err = w.taught(ctx, b, kind, data); err != nil {
				return err
			}
			if s.part == nil {
				b.refused = append(b.refused, kind+": "+strings.ReplaceAll(why, "; ", ", ")) // semicolons part the stand-ins
				continue
			}
		}
		if err := add(s); err != nil {
			return err
		}
	}
	return nil
}

// taught is a stand-in that learned from the block, or had learned in a run that was stopped.
func (w *work) taught(ctx context.Context, b *block, kind string, data values) (part *model.Model, learned, why string, err error) {
	if part, why, err = w.make(ctx, b, kind, data); part == nil || err != nil {
		return nil, "", why, err
	}
	key := b.out + " " + kind
	if k, ok := w.known[key]; ok {
		if m, err := k.into(part); err == nil {
			w.resumed++
			return m, k.Learned, "", nil
		}
	}
	m, learned, err := w.teach(ctx, b, part, data)
	if err != nil {
		return nil, "", "", err
	}
	w.remember(key, part, m, learned)
	return m, learned, "", nil
}

// into gives a stand-in as it was made what it had learned.
func (k kept) into(part *model.Model) (*model.Model, error) {
	p := &model.Patch{}
	for _, in := range part.Graph.Inits {
		if raw := k.Weights[in.Name]; raw != nil {
			t := in.Tensor.Clone()
			if len(raw) != len(t.Raw) {
				return nil, fail.New(fail.Invalid, "%s has %d bytes", in.Name, len(raw))
			}
			copy(t.Raw, raw)
			p.Inits = append(p.Inits, &model.Init{Name: in.Name, Tensor: t})
		}
	}
	if len(p.Inits) == 0 {
		return part, nil
	}
	return part.Apply(p)
}

// teach lets a stand-in learn with the pass distill, the block being what it learns from.
func (w *work) teach(ctx context.Context, b *block, part *model.Model, data values) (*model.Model, string, error) {
	p := w.env.Passes.Find("distill")
	left := w.o.Minutes - time.Since(w.begin).Minutes()
	tried := 0 // kinds that learn
	for _, k := range kinds() {
		if k != "identity" && w.o.tries(k) {
			tried++
		}
	}
	todo := (w.of - w.at) * tried // of blocks to come, at most
	switch {
	case w.o.Steps == 0:
		return part, "", nil
	case p == nil:
		return part, ", as it was made: there is no pass distill", nil
	case left <= 0:
		return part, ", as it was made: the time was over", nil
	}
	const batch = 32
	perPass := (len(data.items) + batch - 1) / batch
	err := spec.Decode(p.Options(), map[string]any{"samples": int64(max(len(data.items), 16)), "epochs": int64((w.o.Steps + perPass - 1) / perPass), "batch": int64(batch),
		"minutes": max(left/float64(max(todo, 1)), 0.01), "features": 0.0, "augment": "none", "rate": w.o.Rate, "control": w.o.Control})
	if err != nil {
		return nil, "", err
	}
	env := w.inner(data)
	env.Base = b.part
	out, found, err := p.Apply(ctx, env, part)
	if fail.Is(err, fail.Unsupported) {
		return part, ", as it was made: " + fail.From(err).Why, nil
	}
	if err != nil {
		return nil, "", err
	}
	said := ""
	for _, f := range found {
		said = f.Reason
	}
	if i := strings.Index(said, "; loss "); i > 0 {
		said = said[:i]
	}
	return out, " (" + said + ")", nil
}

// weigh counts a model, and times it where the budget is a time: predicted for the board, or measured.
func (w *work) weigh(ctx context.Context, m *model.Model, x map[string]*model.Tensor) (costs, error) {
	size, err := optimizer.Measure(m)
	if err != nil {
		return costs{}, err
	}
	c := costs{macs: float64(size.MACs), bytes: float64(size.WeightBytes)}
	if w.o.Ms == 0 {
		return c, nil
	}
	if w.env.Cost != nil {
		c.ns, err = w.env.Cost.PredictNs(m)
		return c, err
	}
	s, err := w.env.Open(ctx, m)
	if err != nil {
		return c, err
	}
	defer s.Close()
	var l []float64
	for i := range 60 {
		begin := time.Now()
		if _, err := s.Run(ctx, x); err != nil {
			return c, err
		}
		if i >= 10 {
			l = append(l, float64(time.Since(begin)))
		}
	}
	slices.Sort(l)
	c.ns = l[len(l)/4] // what is hardly disturbed
	return c, nil
}

// rememberEvery is how often what was learned is written.
const rememberEvery = 10 * time.Second

func (w *work) key() string {
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "replace-blocks 1 %s %s %d %d %g %g %d %v", w.m.Hash(), w.env.Data.Hash(), w.env.Seed, w.o.Steps, w.o.Minutes, w.o.Rate, w.o.Samples, w.o.Control)))
}

// remember keeps what a stand-in learned for the case that the run is stopped.
func (w *work) remember(key string, part, m *model.Model, learned string) {
	if w.env.Keep == nil {
		return
	}
	k := kept{Weights: map[string][]byte{}, Learned: learned}
	for _, in := range m.Graph.Inits {
		if old := part.Graph.Init(in.Name); old != nil && !slices.Equal(old.Raw, in.Tensor.Raw) {
			k.Weights[in.Name] = in.Tensor.Raw
		}
	}
	w.known[key] = k
	if time.Since(w.wrote) < w.every {
		return
	}
	var all bytes.Buffer
	if gob.NewEncoder(&all).Encode(w.known) == nil {
		_ = w.env.Keep.Put(w.key(), all.Bytes()) // what is lost is learned again
	}
	w.wrote = time.Now()
}

// recall takes what a run of the same kind had kept; what cannot be read is as if it were not there.
func (w *work) recall() {
	if w.env.Keep == nil {
		return
	}
	b, _ := w.env.Keep.Get(w.key())
	known := map[string]kept{}
	if len(b) > 0 && gob.NewDecoder(bytes.NewReader(b)).Decode(&known) == nil {
		w.known = known
	}
}

// forget drops what was kept: the run is over.
func (w *work) forget() {
	if w.env.Keep != nil {
		_ = w.env.Keep.Put(w.key(), nil) // it would only be found by the same run again
	}
}
