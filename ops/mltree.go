package ops

import (
	"math"

	"fettle/model"
)

// The kinds of nodes of a tree, numbered as in nodes_modes of TreeEnsemble.
const (
	branchLEQ uint8 = iota
	branchLT
	branchGTE
	branchGT
	branchEQ
	branchNEQ
	branchMember
	leaf // has no number there
)

// modeOf is the mode of a name; a switch, as there is a name for each node.
func modeOf(name []byte) (mode uint8, ok bool) {
	switch string(name) {
	case "LEAF":
		return leaf, true
	case "BRANCH_LEQ":
		return branchLEQ, true
	case "BRANCH_LT":
		return branchLT, true
	case "BRANCH_GTE":
		return branchGTE, true
	case "BRANCH_GT":
		return branchGT, true
	case "BRANCH_EQ":
		return branchEQ, true
	case "BRANCH_NEQ":
		return branchNEQ, true
	}
	return 0, false
}

// treeNode is a branch, or a leaf whose votes are votes[yes:no].
type treeNode struct {
	split   float64 // of a member test: the place of its set
	yes, no int32
	feature int32
	mode    uint8
	missing bool // a value that is missing (NaN) goes to yes
}

type vote struct {
	weight float64
	target int32
}

// forest is an ensemble of trees in arrays: the nodes of all trees behind each other, so that a row goes from the root to a
// leaf without a look-up. Children exist and no path comes back to a node.
type forest struct {
	nodes    []treeNode
	roots    []int32
	votes    []vote
	sets     [][]float64
	features int // one more than the largest feature that a branch reads
}

type badAttr = func(attr, format string, args ...any) error

// leafOf goes from a root to the leaf of a row. A missing value goes where the node says, whatever the comparison: the
// specification has it so, while ONNX Runtime finds NaN unequal to the split of a BRANCH_NEQ.
func (f *forest) leafOf(at int32, row []float64) *treeNode {
	for {
		n := &f.nodes[at]
		if n.mode == leaf {
			return n
		}
		x, yes := row[n.feature], n.missing
		if x == x {
			switch n.mode {
			case branchLEQ:
				yes = x <= n.split
			case branchLT:
				yes = x < n.split
			case branchGTE:
				yes = x >= n.split
			case branchGT:
				yes = x > n.split
			case branchEQ:
				yes = x == n.split
			case branchNEQ:
				yes = x != n.split
			default:
				yes = false
				for _, m := range f.sets[int(n.split)] {
					yes = yes || x == m
				}
			}
		}
		if at = n.no; yes {
			at = n.yes
		}
	}
}

// The ways to join the votes of all trees, numbered as in TreeEnsemble.
const (
	joinAverage = iota
	joinSum
	joinMin
	joinMax
)

var joinNames = map[string]int{"AVERAGE": joinAverage, "SUM": joinSum, "MIN": joinMin, "MAX": joinMax}

// rowBlock rows go through a tree before the next tree is looked at, so that its nodes stay near.
const rowBlock = 64

// each joins the votes of every row and hands them to done; a target without a vote has 0. The average is that over all
// trees, as in ONNX Runtime: a forest's trees vote for every target.
func (f *forest) each(x []float64, rows, width, targets, how int, done func(row int, scores []float64)) {
	scores, has := make([]float64, min(rows, rowBlock)*targets), make([]bool, min(rows, rowBlock)*targets)
	for first := 0; first < rows; first += rowBlock {
		n := min(rowBlock, rows-first)
		clear(scores)
		clear(has)
		for _, root := range f.roots {
			for r := range n {
				l := f.leafOf(root, x[(first+r)*width:][:width])
				s, h := scores[r*targets:][:targets], has[r*targets:][:targets]
				for _, v := range f.votes[l.yes:l.no] {
					k := v.target
					switch {
					case !h[k], how == joinMin && v.weight < s[k], how == joinMax && v.weight > s[k]:
						s[k], h[k] = v.weight, true
					case how < joinMin:
						s[k] += v.weight
					}
				}
			}
		}
		for r := range n {
			s := scores[r*targets:][:targets]
			for k := range s {
				if how == joinAverage {
					s[k] /= float64(len(f.roots))
				}
			}
			done(first+r, s)
		}
	}
}

// reads notes that a branch looks at a feature.
func (f *forest) reads(feature int64) bool {
	if feature < 0 || feature >= math.MaxInt32 {
		return false
	}
	f.features = max(f.features, int(feature)+1)
	return true
}

// looping finds a node that a path from it comes back to. Two paths may meet: converters write a test for one of several
// values as a chain of equalities with one child.
func (f *forest) looping() (node int, found bool) {
	const open, closed = 1, 2
	state := make([]uint8, len(f.nodes))
	var stack []int32
	for start := range f.nodes {
		stack = append(stack[:0], int32(start))
		for len(stack) > 0 {
			at := stack[len(stack)-1]
			n := &f.nodes[at]
			if state[at] != 0 || n.mode == leaf { // seen before, or all below it is
				state[at] = closed
				stack = stack[:len(stack)-1]
				continue
			}
			state[at] = open
			for _, next := range [2]int32{n.yes, n.no} {
				switch state[next] {
				case open:
					return int(next), true
				case 0:
					stack = append(stack, next)
				}
			}
		}
	}
	return 0, false
}

// nodeIDs finds the place of a node by the ids of tree and node.
type nodeIDs struct {
	trees, ids []int64
	first      map[int64]int32 // of each tree
	places     map[[2]int64]int32

	tree int64 // looked up last, and its first node
	at   int32
	seen bool
}

// newNodeIDs needs no table of nodes where they count from 0 in each tree, as converters write them. False, with the place,
// where a node is there twice.
func newNodeIDs(trees, ids []int64) (w *nodeIDs, again int, ok bool) {
	w = &nodeIDs{trees: trees, ids: ids, first: map[int64]int32{}}
	counted := true
	for i := range ids {
		if i > 0 && trees[i] == trees[i-1] {
			counted = counted && ids[i] == ids[i-1]+1
			continue
		}
		if _, seen := w.first[trees[i]]; seen {
			counted = false
			continue
		}
		w.first[trees[i]] = int32(i)
		counted = counted && ids[i] == 0
	}
	if counted {
		return w, 0, true
	}
	w.places = make(map[[2]int64]int32, len(ids))
	for i := range ids {
		k := [2]int64{trees[i], ids[i]}
		if _, seen := w.places[k]; seen {
			return nil, i, false
		}
		w.places[k] = int32(i)
	}
	return w, 0, true
}

func (w *nodeIDs) find(tree, id int64) (int32, bool) {
	if w.places != nil {
		i, ok := w.places[[2]int64{tree, id}]
		return i, ok
	}
	if !w.seen || w.tree != tree {
		w.tree = tree
		w.at, w.seen = w.first[tree]
	}
	k := w.at
	if !w.seen || id < 0 || id >= int64(len(w.ids))-int64(k) || w.trees[int64(k)+id] != tree {
		return 0, false
	}
	return k + int32(id), true
}

// forestOf reads the attributes of TreeEnsembleClassifier (votes is "class") and TreeEnsembleRegressor ("target").
func forestOf(n *model.Node, votes string, targets int64, bad badAttr) (*forest, error) {
	ids := attrIntList(n, "nodes_nodeids")
	if len(ids) == 0 || len(ids) > math.MaxInt32 {
		return nil, bad("nodes_nodeids", "has %d nodes", len(ids))
	}
	splits, err := attrNumbers(n, "nodes_values", bad)
	if err != nil {
		return nil, err
	}
	var modes [][]byte
	if a := n.Attr("nodes_modes"); a != nil {
		modes = a.Strings
	}
	trees, features := attrIntList(n, "nodes_treeids"), attrIntList(n, "nodes_featureids")
	yes, no := attrIntList(n, "nodes_truenodeids"), attrIntList(n, "nodes_falsenodeids")
	tracks := attrIntList(n, "nodes_missing_value_tracks_true")
	for _, l := range []struct {
		name string
		n    int
	}{{"nodes_treeids", len(trees)}, {"nodes_featureids", len(features)}, {"nodes_truenodeids", len(yes)}, {"nodes_falsenodeids", len(no)},
		{"nodes_modes", len(modes)}, {"nodes_values", len(splits)}, {"nodes_missing_value_tracks_true", len(tracks)}} {
		if l.n != len(ids) && (l.n > 0 || l.name != "nodes_missing_value_tracks_true") {
			return nil, bad(l.name, "has %d values for %d nodes", l.n, len(ids))
		}
	}
	where, again, ok := newNodeIDs(trees, ids)
	if !ok {
		return nil, bad("nodes_nodeids", "node %d of tree %d is there twice", ids[again], trees[again])
	}
	f := &forest{nodes: make([]treeNode, len(ids))}
	for i := range f.nodes {
		t := &f.nodes[i]
		if t.mode, ok = modeOf(modes[i]); !ok {
			return nil, bad("nodes_modes", "%q is no mode", modes[i])
		}
		if (i == 0 || trees[i] != trees[i-1]) && where.first[trees[i]] == int32(i) {
			f.roots = append(f.roots, int32(i))
		}
		if t.mode == leaf {
			continue
		}
		if !f.reads(features[i]) {
			return nil, bad("nodes_featureids", "node %d of tree %d reads feature %d", ids[i], trees[i], features[i])
		}
		t.feature, t.split, t.missing = int32(features[i]), splits[i], len(tracks) > 0 && tracks[i] == 1
		if t.yes, ok = where.find(trees[i], yes[i]); !ok {
			return nil, bad("nodes_truenodeids", "tree %d has no node %d, the child of node %d", trees[i], yes[i], ids[i])
		}
		if t.no, ok = where.find(trees[i], no[i]); !ok {
			return nil, bad("nodes_falsenodeids", "tree %d has no node %d, the child of node %d", trees[i], no[i], ids[i])
		}
	}
	if at, found := f.looping(); found {
		return nil, bad("nodes_truenodeids", "a path from node %d of tree %d comes back to it", ids[at], trees[at])
	}
	return f, f.poll(n, votes, targets, where, bad)
}

// poll sorts the votes by their leaves. Votes at branches, which some converters write, are never read.
func (f *forest) poll(n *model.Node, votes string, targets int64, where *nodeIDs, bad badAttr) error {
	ids, trees, nodes := attrIntList(n, votes+"_ids"), attrIntList(n, votes+"_treeids"), attrIntList(n, votes+"_nodeids")
	weights, err := attrNumbers(n, votes+"_weights", bad)
	if err != nil {
		return err
	}
	if len(trees) != len(ids) || len(nodes) != len(ids) || len(weights) != len(ids) {
		return bad(votes+"_ids", "has %d values, %[2]s_treeids %d, %[2]s_nodeids %d and %[2]s_weights %d", len(ids), votes, len(trees), len(nodes), len(weights))
	}
	at, counts := make([]int32, len(ids)), make([]int32, len(f.nodes)+1)
	for i := range ids {
		if ids[i] < 0 || ids[i] >= targets {
			return bad(votes+"_ids", "%d is outside of %d", ids[i], targets)
		}
		var ok bool
		if at[i], ok = where.find(trees[i], nodes[i]); !ok {
			return bad(votes+"_nodeids", "tree %d has no node %d", trees[i], nodes[i])
		}
		if f.nodes[at[i]].mode != leaf {
			at[i] = -1
			continue
		}
		counts[at[i]+1]++
	}
	for i := range f.nodes {
		counts[i+1] += counts[i]
		if t := &f.nodes[i]; t.mode == leaf {
			t.yes, t.no = counts[i], counts[i]
		}
	}
	f.votes = make([]vote, counts[len(f.nodes)])
	for i, k := range at {
		if k < 0 {
			continue
		}
		t := &f.nodes[k]
		f.votes[t.no] = vote{weights[i], int32(ids[i])}
		t.no++
	}
	return nil
}

// forestOf5 reads the attributes of TreeEnsemble: branches first, leaves behind them.
func forestOf5(n *model.Node, d model.DType, targets int64, bad badAttr) (*forest, error) {
	numbers := func(name string, d model.DType) ([]float64, error) {
		a := n.Attr(name)
		if a == nil || a.T == nil {
			return nil, nil
		}
		if len(a.T.Shape) != 1 || d != model.Undefined && a.T.DType != d {
			return nil, bad(name, "is %s%v, want a line of %s", a.T.DType, a.T.Shape, d)
		}
		if err := a.T.Check(); err != nil {
			return nil, bad(name, "%v", err)
		}
		if !(Floats | 1<<model.Uint8).Has(a.T.DType) {
			return nil, bad(name, "is %s", a.T.DType)
		}
		return toFloat64(a.T), nil
	}
	splits, err := numbers("nodes_splits", d)
	if err != nil {
		return nil, err
	}
	modes, err := numbers("nodes_modes", model.Uint8)
	if err != nil {
		return nil, err
	}
	weights, err := numbers("leaf_weights", d)
	if err != nil {
		return nil, err
	}
	members, err := numbers("membership_values", d)
	if err != nil {
		return nil, err
	}
	features, yes, no := attrIntList(n, "nodes_featureids"), attrIntList(n, "nodes_truenodeids"), attrIntList(n, "nodes_falsenodeids")
	yesLeaf, noLeaf, tracks := attrIntList(n, "nodes_trueleafs"), attrIntList(n, "nodes_falseleafs"), attrIntList(n, "nodes_missing_value_tracks_true")
	leaves := attrIntList(n, "leaf_targetids")
	for _, l := range []struct {
		name string
		n    int
	}{{"nodes_modes", len(modes)}, {"nodes_featureids", len(features)}, {"nodes_truenodeids", len(yes)}, {"nodes_falsenodeids", len(no)},
		{"nodes_trueleafs", len(yesLeaf)}, {"nodes_falseleafs", len(noLeaf)}, {"nodes_missing_value_tracks_true", len(tracks)}} {
		if l.n != len(splits) && (l.n > 0 || l.name != "nodes_missing_value_tracks_true") {
			return nil, bad(l.name, "has %d values for %d nodes", l.n, len(splits))
		}
	}
	if len(leaves) != len(weights) {
		return nil, bad("leaf_targetids", "has %d values, leaf_weights %d", len(leaves), len(weights))
	}
	branches := len(splits)
	if branches+len(leaves) > math.MaxInt32 {
		return nil, bad("nodes_splits", "%d nodes and %d leaves are too many", branches, len(leaves))
	}
	f := &forest{nodes: make([]treeNode, branches+len(leaves)), votes: make([]vote, len(leaves))}
	child := func(attr string, id int64, isLeaf bool) (int32, error) {
		base, n := 0, branches
		if isLeaf {
			base, n = branches, len(leaves)
		}
		if id < 0 || id >= int64(n) {
			return 0, bad(attr, "names %d of %d", id, n)
		}
		return int32(base) + int32(id), nil
	}
	for i := range branches {
		t := &f.nodes[i]
		if modes[i] > float64(branchMember) {
			return nil, bad("nodes_modes", "%g is no mode", modes[i])
		}
		if !f.reads(features[i]) {
			return nil, bad("nodes_featureids", "node %d reads feature %d", i, features[i])
		}
		*t = treeNode{split: splits[i], feature: int32(features[i]), mode: uint8(modes[i]), missing: len(tracks) > 0 && tracks[i] == 1}
		if t.yes, err = child("nodes_truenodeids", yes[i], yesLeaf[i] != 0); err != nil {
			return nil, err
		}
		if t.no, err = child("nodes_falsenodeids", no[i], noLeaf[i] != 0); err != nil {
			return nil, err
		}
		if t.mode == branchMember { // its members end at the next NaN
			k := 0
			for k < len(members) && members[k] == members[k] {
				k++
			}
			if k == 0 {
				return nil, bad("membership_values", "has no value for node %d", i)
			}
			t.split = float64(len(f.sets))
			f.sets = append(f.sets, members[:k])
			members = members[min(k+1, len(members)):]
		}
	}
	for i := range leaves {
		if leaves[i] < 0 || leaves[i] >= targets {
			return nil, bad("leaf_targetids", "%d is outside of %d", leaves[i], targets)
		}
		f.votes[i] = vote{weights[i], int32(leaves[i])}
		f.nodes[branches+i] = treeNode{yes: int32(i), no: int32(i + 1), mode: leaf}
	}
	for _, r := range attrIntList(n, "tree_roots") {
		k, err := child("tree_roots", r, false)
		if err != nil {
			return nil, err
		}
		f.roots = append(f.roots, k)
	}
	if len(f.roots) == 0 {
		return nil, bad("tree_roots", "names no tree")
	}
	if at, found := f.looping(); found {
		return nil, bad("nodes_truenodeids", "a path from node %d comes back to it", at)
	}
	return f, nil
}
