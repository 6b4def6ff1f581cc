package chaos

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// most is how many states of one moment are made by all choices of what lasted. Where there would be more, it is each choice alone against everything
// kept and everything lost, and each pair against everything kept.
const most = 256

// State is a folder as a power cut may leave it.
type State struct {
	After int               // operations that were begun
	Done  bool              // the program had promised what it did
	Files map[string][]byte // folders are nil
}

// Key is the same for the same files and promise.
func (s State) Key() string {
	h := sha256.New()
	for _, p := range slices.Sorted(maps.Keys(s.Files)) {
		fmt.Fprintf(h, "%s %v %d\n", p, s.Files[p] == nil, len(s.Files[p]))
		h.Write(s.Files[p])
	}
	return fmt.Sprint(s.Done, hex.EncodeToString(h.Sum(nil)))
}

// Make writes the state into a new folder.
func (s State) Make(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, p := range slices.Sorted(maps.Keys(s.Files)) {
		to := filepath.Join(dir, p)
		err := os.MkdirAll(filepath.Dir(to), 0o700)
		if err == nil && s.Files[p] == nil {
			err = os.MkdirAll(to, 0o700)
		} else if err == nil {
			err = os.WriteFile(to, s.Files[p], 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// content is what is known of a file's bytes.
type content struct {
	folder  bool
	lasts   []byte
	pending []Op // writes and truncations since the last flush
}

// choices are the bytes that a cut may leave: the first so many of the pending writes, the last of them torn, one of them missing as zeros, all
// of them as zeros.
func (c *content) choices() [][]byte {
	if c.folder {
		return [][]byte{nil}
	}
	apply := func(skip int, upto int, torn bool) []byte {
		b := append([]byte{}, c.lasts...)
		for i, o := range c.pending[:upto] {
			d := o.data
			switch {
			case o.Kind == Truncate:
				b = []byte{}
				continue
			case i == skip:
				d = make([]byte, len(d))
			case torn && i == upto-1:
				d = d[:len(d)/2]
			}
			b = append(b, d...)
		}
		return b
	}
	n := len(c.pending)
	out := [][]byte{apply(-1, n, false)}
	for k := range n {
		out = append(out, apply(-1, k, false), apply(-1, k+1, true), apply(k, n, false))
	}
	if n > 1 {
		out = append(out, make([]byte, len(out[0])))
	}
	return out
}

// name is what is known of a name: the nodes that it may stand for, -1 for none. The last is the newest.
type name struct{ may []int }

// moment is what is known after a number of operations.
type moment struct {
	names map[string]*name
	files map[int]*content
	done  bool
}

// States gives all states in which a cut may leave the folder once so many operations were done: before each later one, in the middle of it, and after the last.
// Equal ones may come again.
func (l *Log) States(from int, yield func(State) bool) {
	m := moment{names: map[string]*name{}, files: map[int]*content{}}
	for i, p := range slices.Sorted(maps.Keys(l.start)) {
		node := -2 - i // the log numbers its own
		m.names[p] = &name{may: []int{node}}
		m.files[node] = &content{folder: l.start[p] == nil, lasts: l.start[p]}
	}
	for i := 0; ; i++ {
		if i >= from && !m.states(i, yield) || i == len(l.ops) {
			return
		}
		m.apply(l.ops[i])
	}
}

func (m *moment) apply(o Op) {
	put := func(path string, node int) {
		n := m.names[path]
		if n == nil {
			n = &name{may: []int{-1}}
			m.names[path] = n
		}
		n.may = append(n.may, node)
	}
	newest := func(path string) int {
		if n := m.names[path]; n != nil {
			return n.may[len(n.may)-1]
		}
		return -1
	}
	switch o.Kind {
	case Create, Mkdir:
		m.files[o.node] = &content{folder: o.Kind == Mkdir, lasts: []byte{}}
		put(o.Path, o.node)
	case Truncate: // of the file that has the name, under a number of its own from here on
		c := &content{lasts: []byte{}}
		if old := m.files[newest(o.Path)]; old != nil {
			c = old
		} else {
			put(o.Path, o.node)
		}
		m.files[o.node] = c
		c.pending = append(c.pending, o)
	case Write:
		c := m.files[o.node]
		c.pending = append(c.pending, o)
	case Sync:
		c := m.files[o.node]
		c.lasts, c.pending = c.choices()[0], nil
	case Rename:
		node := newest(o.Path)
		put(o.To, node)
		put(o.Path, -1)
	case Remove:
		put(o.Path, -1)
	case SyncDir:
		for p, n := range m.names {
			if filepath.Dir(p) == o.Path {
				n.may = n.may[len(n.may)-1:]
			}
		}
	case Done:
		m.done = true
	}
}

// choice is one thing that a cut decides: what a name stands for, or what a file holds.
type choice struct {
	path string
	node int
	n    int // ways, the first is the newest
}

// states makes the states of one moment.
func (m *moment) states(after int, yield func(State) bool) bool {
	var all []choice
	seen := map[int]bool{}
	bytesOf := map[int][][]byte{}
	total := 1
	add := func(c choice) {
		if c.n > 1 {
			all = append(all, c)
			total = min(total*c.n, most+1)
		}
	}
	for _, p := range slices.Sorted(maps.Keys(m.names)) {
		n := m.names[p]
		add(choice{path: p, n: len(n.may)})
		for _, node := range n.may {
			if node != -1 && !seen[node] {
				seen[node] = true
				bytesOf[node] = m.files[node].choices()
				add(choice{node: node, n: len(bytesOf[node])})
			}
		}
	}
	give := func(pick []int) bool {
		names, files := map[string]int{}, map[int]int{}
		for i, c := range all {
			if c.path != "" {
				names[c.path] = pick[i]
			} else {
				files[c.node] = pick[i]
			}
		}
		s := State{After: after, Done: m.done, Files: map[string][]byte{}}
		for _, p := range slices.Sorted(maps.Keys(m.names)) { // folders come before what is in them
			n := m.names[p]
			node := n.may[len(n.may)-1-names[p]]
			if node == -1 {
				continue
			}
			if up := filepath.Dir(p); up != "." && !strings.HasPrefix(up, "..") {
				if b, there := s.Files[up]; !there || b != nil {
					continue // a folder that is gone takes along what is in it
				}
			}
			s.Files[p] = bytesOf[node][files[node]]
		}
		return yield(s)
	}
	pick := make([]int, len(all))
	if total <= most {
		return every(all, pick, 0, give)
	}
	return few(all, pick, give)
}

// every gives all combinations.
func every(all []choice, pick []int, at int, give func([]int) bool) bool {
	if at == len(all) {
		return give(pick)
	}
	for pick[at] = 0; pick[at] < all[at].n; pick[at]++ {
		if !every(all, pick, at+1, give) {
			return false
		}
	}
	pick[at] = 0
	return true
}

// few gives everything kept, everything lost, each choice alone against both, and each pair against everything kept.
func few(all []choice, pick []int, give func([]int) bool) bool {
	lost := make([]int, len(all))
	for i, c := range all {
		lost[i] = c.n - 1
	}
	for _, base := range [][]int{pick, lost} {
		if !give(base) {
			return false
		}
		for i, c := range all {
			was := base[i]
			for base[i] = 0; base[i] < c.n; base[i]++ {
				if base[i] != was && !give(base) {
					return false
				}
			}
			base[i] = was
		}
	}
	for i := range all {
		for j := range i {
			for pick[i] = 1; pick[i] < all[i].n; pick[i]++ {
				for pick[j] = 1; pick[j] < all[j].n; pick[j]++ {
					if !give(pick) {
						return false
					}
				}
			}
			pick[i], pick[j] = 0, 0
		}
	}
	return true
}
