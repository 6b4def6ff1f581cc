package graph

import (
	"slices"
	"strings"
)

// Item is a leaf of the drawing: an operator, an input, an output or a step of a plan.
type Item struct {
	ID      string
	Name    string   // in full, for search and tips
	Scope   []string // where it belongs, outermost first
	Title   string
	Sub     string
	Op      string
	Badge   string   // number type
	Origins []string // ids of imported nodes, for the linked selection
	Diff    Diff
	Small   bool // one line of text
	Edge    bool // input or output of the network: never in a group
}

// Wire says that item To reads what item From makes.
type Wire struct{ From, To int32 }

// Group is a named part of the graph. Its kids are items and groups, in the order of the graph.
type Group struct {
	Path   string // unique; kept over models, so that open groups stay open
	Title  string
	Parent int32 // -1 for the root
	Kids   []Ref
	Items  int    // leaves inside
	Blocks [2]int // numbers of the first and last block, for groups that have no name of their own
}

// Ref names an item, 0 and up, or a group, below 0.
type Ref int32

// GroupRef is the reference of a group.
func GroupRef(g int32) Ref { return Ref(^g) }

// IsGroup reports whether r is a group.
func (r Ref) IsGroup() bool { return r < 0 }

// Index is the place of the item or group in its list.
func (r Ref) Index() int32 {
	if r < 0 {
		return int32(^r)
	}
	return int32(r)
}

// Tree is a graph with its groups. It does not change once it is made.
type Tree struct {
	Items  []Item
	Wires  []Wire  // sorted, each once, always from an earlier item to a later one
	Groups []Group // parents before children; 0 is the root
	Home   []int32 // the group of each item

	out []int32 // wires of item i: out[i] to out[i+1]
}

// NewTree groups items, which must be in topological order, by their scopes. Where scopes say nothing, blocks between
// the places where one value carries everything become groups.
func NewTree(items []Item, wires []Wire) *Tree {
	t := &Tree{Items: items, Wires: cleanWires(wires, len(items))}
	t.out = make([]int32, len(items)+1)
	for _, w := range t.Wires {
		t.out[w.From+1]++
	}
	for i := range items {
		t.out[i+1] += t.out[i]
	}
	root := byScope(items)
	if !hasGroup(root) && scopeByPrefix(items) {
		root = byScope(items)
	}
	if !hasGroup(root) {
		root = byCuts(t)
	}
	root.simplify(true)
	t.unknot(root)
	t.flatten(root)
	return t
}

// cleanWires sorts and drops doubles, and wires against the order: those are no data of a graph without loops.
func cleanWires(wires []Wire, n int) []Wire {
	out := make([]Wire, 0, len(wires))
	for _, w := range wires {
		if w.From >= 0 && w.From < w.To && int(w.To) < n {
			out = append(out, w)
		}
	}
	slices.SortFunc(out, func(a, b Wire) int {
		if a.From != b.From {
			return int(a.From - b.From)
		}
		return int(a.To - b.To)
	})
	return slices.Compact(out)
}

// part is a group while the tree is made: a leaf has item >= 0.
type part struct {
	name, path string
	item       int32
	kids       []*part
	leaves     int
	blocks     [2]int
}

func leaf(i int) *part { return &part{item: int32(i), leaves: 1} }

func hasGroup(p *part) bool {
	return slices.ContainsFunc(p.kids, func(k *part) bool { return k.item < 0 })
}

// byScope makes a part for each scope.
func byScope(items []Item) *part {
	root := &part{item: -1}
	byPath := map[string]*part{"": root}
	for i := range items {
		at := root
		if !items[i].Edge {
			path := ""
			for _, s := range items[i].Scope {
				path += "/" + s
				next := byPath[path]
				if next == nil {
					next = &part{name: s, path: path, item: -1}
					byPath[path] = next
					at.kids = append(at.kids, next)
				}
				at = next
			}
		}
		at.kids = append(at.kids, leaf(i))
	}
	return root
}

// simplify drops groups that say nothing: of one leaf, around one group, around the whole network.
func (p *part) simplify(root bool) {
	for _, k := range p.kids {
		k.simplify(false)
	}
	for i, k := range p.kids {
		for k.item < 0 && len(k.kids) == 1 {
			only := k.kids[0]
			if only.item >= 0 {
				only.name = k.name
			} else if !strings.HasPrefix(only.name, k.name) {
				only.name = k.name + "." + only.name
			}
			k = only
		}
		p.kids[i] = k
	}
	p.leaves = 0
	for _, k := range p.kids {
		if k.item >= 0 {
			k.leaves = 1
		}
		p.leaves += k.leaves
	}
	if root {
		p.unwrap()
	}
}

// unwrap opens a group that holds nearly everything: it would be the only box of the picture.
func (p *part) unwrap() {
	for {
		big := slices.IndexFunc(p.kids, func(k *part) bool { return k.item < 0 && k.leaves*10 > p.leaves*8 && len(k.kids) > 1 })
		if big < 0 || p.leaves < 8 {
			return
		}
		gone := p.kids[big]
		for _, k := range gone.kids {
			if isNumber(k.name) { // alone it would say nothing
				k.name = gone.name + "." + k.name
			}
		}
		p.kids = slices.Replace(p.kids, big, big+1, gone.kids...)
	}
}

// flatten writes parts into the lists of the tree.
func (t *Tree) flatten(root *part) {
	t.Home = make([]int32, len(t.Items))
	var walk func(p *part, parent int32)
	walk = func(p *part, parent int32) {
		me := int32(len(t.Groups))
		g := Group{Path: p.path, Title: p.name, Parent: parent, Items: p.leaves, Blocks: p.blocks}
		if parent > 0 && isNumber(g.Title) {
			g.Title = t.Groups[parent].Title + "." + g.Title
		}
		t.Groups = append(t.Groups, g)
		var kids []Ref
		for _, k := range p.kids {
			if k.item >= 0 {
				kids = append(kids, Ref(k.item))
				t.Home[k.item] = me
				if k.name != "" {
					t.Items[k.item].Title = k.name
				}
				continue
			}
			kids = append(kids, GroupRef(int32(len(t.Groups))))
			walk(k, me)
		}
		t.Groups[me].Kids = kids
	}
	walk(root, -1)
}

func isNumber(s string) bool {
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return s != ""
}

// Leaves calls f with every item inside r.
func (t *Tree) Leaves(r Ref, f func(item int32)) {
	if !r.IsGroup() {
		f(int32(r))
		return
	}
	for _, k := range t.Groups[r.Index()].Kids {
		t.Leaves(k, f)
	}
}

// Ancestors lists the groups around an item, outermost first, without the root.
func (t *Tree) Ancestors(item int32) []int32 {
	var out []int32
	for g := t.Home[item]; g > 0; g = t.Groups[g].Parent {
		out = append(out, g)
	}
	slices.Reverse(out)
	return out
}

// Visible is what stands for an item on the picture: the outermost closed group around it, or itself.
func (t *Tree) Visible(item int32, open map[string]bool) Ref {
	r := Ref(item)
	for g := t.Home[item]; g > 0; g = t.Groups[g].Parent {
		if !open[t.Groups[g].Path] {
			r = GroupRef(g)
		}
	}
	return r
}

// OpenUpTo lists groups to open at first: outer ones before inner ones, as long as no more than budget boxes show.
func (t *Tree) OpenUpTo(budget int) map[string]bool {
	open := map[string]bool{}
	shown := len(t.Groups[0].Kids)
	row := []int32{0}
	for len(row) > 0 {
		var next []int32
		more := 0
		for _, g := range row {
			for _, k := range t.Groups[g].Kids {
				if k.IsGroup() {
					next = append(next, k.Index())
					more += len(t.Groups[k.Index()].Kids) - 1
				}
			}
		}
		if shown+more > budget {
			return open
		}
		shown += more
		for _, g := range next {
			open[t.Groups[g].Path] = true
		}
		row = next
	}
	return open
}
