package chaos

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Log is a folder that writes down what is done to it, so that all states can be made in which a power cut may leave it (States).
//
// It promises as little as POSIX does: bytes last by the flush of their file, a name (of a file or a folder) by the flush of the folder that it is in,
// and what was not flushed may be there or not, in any order, torn or as zeros.
type Log struct {
	root string

	mu    sync.Mutex
	ops   []Op
	live  map[string]int // path to node
	nodes int
	start map[string][]byte // files that last from the beginning; folders are nil
}

// Kind is what was done.
type Kind string

// Kinds of operations. Done is no operation but a mark: from here on the program has promised what it did.
const (
	Create   Kind = "create"
	Truncate Kind = "truncate"
	Write    Kind = "write"
	Sync     Kind = "flush"
	Mkdir    Kind = "mkdir"
	Rename   Kind = "rename"
	Remove   Kind = "remove"
	SyncDir  Kind = "flush folder"
	Done     Kind = "done"
)

// Op is one thing that was done, with paths relative to the folder.
type Op struct {
	Kind     Kind
	Path, To string
	node     int
	data     []byte
}

// NewLog starts with what lies in root, which counts as flushed.
func NewLog(root string) (*Log, error) {
	l := &Log{root: root, live: map[string]int{".": 0}, nodes: 1, start: map[string][]byte{}}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		rel := l.rel(p)
		if err != nil || rel == "." {
			return err
		}
		var b []byte
		if !d.IsDir() {
			if b, err = os.ReadFile(p); err != nil {
				return err
			}
			b = append([]byte{}, b...) // never nil: that is a folder
		}
		l.start[rel] = b
		l.node(rel)
		return nil
	})
	return l, err
}

// Ops are the operations so far.
func (l *Log) Ops() []Op { l.mu.Lock(); defer l.mu.Unlock(); return append([]Op(nil), l.ops...) }

// Mark writes down that the program has promised what it did.
func (l *Log) Mark() { l.add(Op{Kind: Done}) }

func (l *Log) rel(p string) string {
	r, err := filepath.Rel(l.root, p)
	if err != nil {
		return p
	}
	return r
}

func (l *Log) node(rel string) int {
	n := l.nodes
	l.nodes++
	l.live[rel] = n
	return n
}

func (l *Log) add(o Op) { l.mu.Lock(); defer l.mu.Unlock(); l.ops = append(l.ops, o) }

// CreateTemp makes a file.
func (l *Log) CreateTemp(dir, pattern string) (*LogFile, error) {
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	rel := l.rel(f.Name())
	n := l.node(rel)
	l.ops = append(l.ops, Op{Kind: Create, Path: rel, node: n})
	return &LogFile{l, f, rel, n}, nil
}

// Rename moves a file.
func (l *Log) Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	a, b := l.rel(from), l.rel(to)
	l.live[b] = l.live[a]
	delete(l.live, a)
	l.ops = append(l.ops, Op{Kind: Rename, Path: a, To: b, node: l.live[b]})
	return nil
}

// Remove deletes a file.
func (l *Log) Remove(name string) error {
	if err := os.Remove(name); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	rel := l.rel(name)
	delete(l.live, rel)
	l.ops = append(l.ops, Op{Kind: Remove, Path: rel})
	return nil
}

// MkdirAll makes folders, from the top.
func (l *Log) MkdirAll(dir string, perm fs.FileMode) error {
	if err := os.MkdirAll(dir, perm); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var missing []string
	for p := l.rel(dir); ; p = filepath.Dir(p) {
		if _, there := l.live[p]; there || p == "." || p == ".." || filepath.IsAbs(p) {
			break
		}
		missing = append(missing, p)
	}
	for i := len(missing) - 1; i >= 0; i-- {
		l.ops = append(l.ops, Op{Kind: Mkdir, Path: missing[i], node: l.node(missing[i])})
	}
	return nil
}

// SyncDir makes the names in dir last.
func (l *Log) SyncDir(dir string) error {
	l.add(Op{Kind: SyncDir, Path: l.rel(dir)})
	return nil
}

// LogFile is a file of a Log.
type LogFile struct {
	l    *Log
	f    *os.File
	rel  string
	node int
}

// Name is the path.
func (f *LogFile) Name() string { return f.f.Name() }

// Write adds bytes.
func (f *LogFile) Write(p []byte) (int, error) {
	n, err := f.f.Write(p)
	f.l.add(Op{Kind: Write, Path: f.rel, node: f.node, data: bytes.Clone(p[:n])})
	return n, err
}

// Sync makes the bytes last.
func (f *LogFile) Sync() error {
	f.l.add(Op{Kind: Sync, Path: f.rel, node: f.node})
	return nil
}

// Close closes the file.
func (f *LogFile) Close() error { return f.f.Close() }

// Without is the log of a program that is the same but for operation i: a flush is left out, a rename becomes what a careless writer does, which is to
// write the new bytes over the old ones, here in pieces and with a flush at the end.
func (l *Log) Without(i int) *Log {
	ops := l.Ops()
	o := ops[i]
	rest := append([]Op(nil), ops[i+1:]...)
	out := &Log{root: l.root, start: l.start, nodes: l.nodes, ops: ops[:i:i]}
	if o.Kind == Rename {
		var content []byte
		for _, w := range ops[:i] {
			if w.node == o.node && w.Kind == Write {
				content = append(content, w.data...)
			}
		}
		n := out.nodes
		out.nodes++
		out.ops = append(out.ops, Op{Kind: Truncate, Path: o.To, node: n})
		for len(content) > 0 {
			k := min(100, len(content))
			out.ops = append(out.ops, Op{Kind: Write, Path: o.To, node: n, data: content[:k]})
			content = content[k:]
		}
		out.ops = append(out.ops, Op{Kind: Sync, Path: o.To, node: n}, Op{Kind: Remove, Path: o.Path})
	}
	out.ops = append(out.ops, rest...)
	return out
}
