package canvas

import (
	"math"
	"strings"

	"fettle/views/kit/graph"
)

// row is a line of the tree of layers.
type row struct {
	ref   graph.Ref
	depth int
	title string
	note  string  // beside the title: the shape of an input
	value string  // of the lens, "–" where there is none
	share float32 // length of the bar, 0 to 1; below 0: hatched
	open  bool    // an open group
	group bool
	sel   bool
	hit   bool
}

// treeRows lists what the tree shows: kids of open groups; with a filter, every item that matches and the groups around.
func treeRows(t *graph.Tree, r *graph.Reading, open map[string]bool, chosen map[int32]bool, match func(item int32) bool) []row {
	var out []row
	var walk func(g int32, depth int) bool
	walk = func(g int32, depth int) bool {
		any := false
		for _, k := range t.Groups[g].Kids {
			if !k.IsGroup() {
				if match != nil && !match(int32(k)) {
					continue
				}
				any = true
				out = append(out, itemRow(t, r, k, depth, chosen[int32(k)]))
				continue
			}
			at := len(out)
			out = append(out, groupRow(t, r, k, depth, open, chosen))
			if match == nil {
				if out[at].open {
					walk(k.Index(), depth+1)
				}
				continue
			}
			out[at].open = true
			if walk(k.Index(), depth+1) {
				any = true
			} else {
				out = out[:at]
			}
		}
		return any
	}
	walk(0, 0)
	return out
}

func itemRow(t *graph.Tree, r *graph.Reading, k graph.Ref, depth int, sel bool) row {
	it := &t.Items[k]
	w := row{ref: k, depth: depth, title: it.Title, sel: sel}
	if it.Edge {
		w.note = it.Sub
	}
	w.value, w.share = reading(r, k)
	return w
}

func groupRow(t *graph.Tree, r *graph.Reading, k graph.Ref, depth int, open map[string]bool, chosen map[int32]bool) row {
	g := &t.Groups[k.Index()]
	w := row{ref: k, depth: depth, title: g.Title, group: true, open: open[g.Path]}
	w.value, w.share = reading(r, k)
	if !w.open && len(chosen) > 0 { // all of it is selected
		w.sel = true
		t.Leaves(k, func(i int32) { w.sel = w.sel && chosen[i] })
	}
	return w
}

// reading writes a value for a column whose head names the unit.
func reading(r *graph.Reading, k graph.Ref) (string, float32) {
	v := r.Value(k)
	switch {
	case r.Class != nil:
		return r.ClassName(k), 0
	case math.IsNaN(v):
		return "–", -1
	}
	s := r.Tick(v)
	if k.IsGroup() && r.Partly[k.Index()] {
		s = "≥\u2009" + s
	}
	return s, r.Heat(k)
}

// matcher makes a search: every word must be in the item's name, operator, description or number type. "3x3" finds 3×3.
func (d *drawing) matcher(query string) func(item int32) bool {
	words := strings.Fields(fold(query))
	if len(words) == 0 {
		return nil
	}
	return func(i int32) bool {
		it := &d.items[i]
		text := fold(it.Name + " " + it.Title + " " + it.Op + " " + it.Sub + " " + d.precisionOf(i))
		for _, w := range words {
			if !strings.Contains(text, w) {
				return false
			}
		}
		return true
	}
}

func fold(s string) string { return strings.ReplaceAll(strings.ToLower(s), "×", "x") }

// hits lists the items that match, in the order of the graph.
func (d *drawing) hits(query string) []int32 {
	match := d.matcher(query)
	if match == nil {
		return nil
	}
	var out []int32
	for i := range d.items {
		if match(int32(i)) {
			out = append(out, int32(i))
		}
	}
	return out
}

// originsOf are the imported nodes behind items, each once, in order: what is selected in all screens.
func (d *drawing) originsOf(items []int32) []string {
	seen := map[string]bool{}
	var out []string
	for _, i := range items {
		for _, o := range d.items[i].Origins {
			if !seen[o] {
				seen[o] = true
				out = append(out, o)
			}
		}
	}
	return out
}

// crumbs is the path of groups around what is selected: the innermost that holds all of it.
func crumbs(t *graph.Tree, items []int32) []int32 {
	if len(items) == 0 {
		return nil
	}
	path := t.Ancestors(items[0])
	for _, i := range items[1:] {
		other := t.Ancestors(i)
		k := 0
		for k < len(path) && k < len(other) && path[k] == other[k] {
			k++
		}
		path = path[:k]
	}
	return path
}

// summary counts what is inside a group: 3 blocks · 10 conv, 3 add.
type summary struct {
	blocks int
	ops    []opCount // most first
}

type opCount struct {
	op string
	n  int
}

func (d *drawing) summarize(g int32) summary {
	var s summary
	for _, k := range d.tree.Groups[g].Kids {
		if k.IsGroup() {
			s.blocks++
		}
	}
	at := map[string]int{}
	d.tree.Leaves(graph.GroupRef(g), func(i int32) {
		op := d.items[i].Op[strings.LastIndexByte(d.items[i].Op, ':')+1:]
		if op == "" {
			return // an input or output
		}
		k, ok := at[op]
		if !ok {
			k = len(s.ops)
			at[op] = k
			s.ops = append(s.ops, opCount{op: op})
		}
		s.ops[k].n++
	})
	for i := 1; i < len(s.ops); i++ { // few kinds: insertion keeps the order of the graph among equals
		for k := i; k > 0 && less(s.ops[k-1], s.ops[k]); k-- {
			s.ops[k-1], s.ops[k] = s.ops[k], s.ops[k-1]
		}
	}
	return s
}

// less puts layers that do work first, then what joins branches, then the rest; the more frequent before others.
func less(a, b opCount) bool {
	if ra, rb := rank(a.op), rank(b.op); ra != rb {
		return ra > rb
	}
	return a.n < b.n
}

const restRank = 3

func rank(op string) int {
	switch kindOf(op) {
	case kindConv, kindMat:
		return 0
	case kindElem:
		return 1
	case kindPool, kindOther:
		return 2
	}
	return restRank
}

// shortName abbreviates the operators that are named most often.
func shortName(op string) string {
	switch op {
	case "BatchNormalization":
		return "BN"
	case "LayerNormalization":
		return "LN"
	case "Relu":
		return "ReLU"
	}
	return op
}
