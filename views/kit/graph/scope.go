package graph

import (
	"strconv"
	"strings"
)

// Scope splits a node's name into the scopes around it and what is left for the node:
//
//	/layer3/0/conv1/Conv   layer3, 0, conv1   Conv
//	layer3.0.conv1         layer3, 0          conv1
//	Conv_71                                   Conv_71
//
// Names that are numbers or paths of the exporter's own making have no scope.
func Scope(name string) (scope []string, rest string) {
	sep := "/"
	if !strings.Contains(name, "/") {
		sep = "."
	}
	for _, s := range strings.Split(name, sep) {
		if s != "" && s != "." {
			scope = append(scope, s)
		}
	}
	if len(scope) == 0 {
		return nil, name
	}
	rest = scope[len(scope)-1]
	return scope[:len(scope)-1], rest
}

// scopeByPrefix reads scopes from names like fire2_squeeze1x1 and net_stage1_conv0: what all names begin with is dropped,
// and the word after it is a scope if its items lie together. Conv_71 says only what and when: its like are everywhere,
// and no scope. It reports whether it found scopes that hold half of the items.
func scopeByPrefix(items []Item) bool {
	words := make([][]string, len(items))
	common := []string(nil)
	for i := range items {
		if items[i].Edge {
			continue
		}
		words[i] = strings.Split(items[i].Name, "_")
		if common == nil {
			common = words[i]
		}
		n := 0
		for n < len(common) && n < len(words[i])-1 && common[n] == words[i][n] {
			n++
		}
		common = common[:n]
	}
	count, runs := map[string]int{}, map[string]int{}
	last := ""
	prefix := func(i int) string {
		if w := words[i]; len(w) > len(common)+1 {
			return w[len(common)]
		}
		return ""
	}
	for i := range items {
		p := prefix(i)
		if p != "" {
			count[p]++
			if p != last {
				runs[p]++
			}
		}
		last = p
	}
	held, groups := 0, 0
	good := func(p string) bool { return p != "" && count[p] >= smallestBlock && runs[p] == 1 }
	for p := range count {
		if good(p) {
			held, groups = held+count[p], groups+1
		}
	}
	if groups < 2 || held*2 < len(items) {
		return false
	}
	for i := range items {
		if p := prefix(i); good(p) {
			items[i].Scope = []string{p}
			items[i].Title = strings.Join(words[i][len(common)+1:], "_")
		}
	}
	return true
}

// smallestBlock is how many items a block needs to become a group, and manyBlocks how many blocks get groups of their own.
const (
	smallestBlock = 3
	manyBlocks    = 24
	blocksInRun   = 8
)

// byCuts groups what lies between cuts. A cut is an item whose value alone carries everything from what is before it to
// what is after it: the ends of residual blocks and fire modules.
func byCuts(t *Tree) *part {
	root := &part{item: -1}
	var blocks []*part
	var block []int
	reach := int32(-1) // the last reader of everything made before item i
	for i := range t.Items {
		if t.Items[i].Edge {
			if len(block) > 0 {
				block = append(block, i)
			} else {
				root.kids = append(root.kids, leaf(i))
			}
			continue
		}
		block = append(block, i)
		last := int32(i)
		for _, w := range t.Wires[t.out[i]:t.out[i+1]] {
			last = max(last, w.To)
		}
		if reach <= int32(i) { // nothing else is still to be read
			blocks = closeBlock(root, blocks, block, t)
			block = nil
		}
		reach = max(reach, last)
	}
	blocks = closeBlock(root, blocks, block, t)
	if len(blocks) > manyBlocks {
		return bundle(root)
	}
	return root
}

func closeBlock(root *part, blocks []*part, block []int, t *Tree) []*part {
	var inner []*part
	for _, i := range block {
		if t.Items[i].Edge {
			root.kids = append(root.kids, leaf(i))
		} else {
			inner = append(inner, leaf(i))
		}
	}
	if len(inner) < smallestBlock || len(inner)*10 > len(t.Items)*8 {
		root.kids = append(root.kids, inner...)
		return blocks
	}
	no := len(blocks) + 1
	name := "block " + strconv.Itoa(no)
	b := &part{name: name, path: "/" + name, item: -1, kids: inner, blocks: [2]int{no, no}}
	root.kids = append(root.kids, b)
	return append(blocks, b)
}

// bundle puts runs of blocks, with what lies between them, into groups of their own.
func bundle(root *part) *part {
	out := &part{item: -1}
	var run *part
	first, n := 0, 0
	end := func() {
		if run != nil {
			run.name = "blocks " + strconv.Itoa(first) + "–" + strconv.Itoa(n)
			run.path, run.blocks = "/"+run.name, [2]int{first, n}
		}
		run = nil
	}
	for _, k := range root.kids {
		if k.item < 0 {
			n++
			if run == nil || n-first >= blocksInRun {
				end()
				run, first = &part{item: -1}, n
				out.kids = append(out.kids, run)
			}
		}
		if run != nil {
			run.kids = append(run.kids, k)
		} else {
			out.kids = append(out.kids, k)
		}
	}
	end()
	return out
}
