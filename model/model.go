// Package model owns the intermediate representation: Model, Graph, Node, Value, Tensor, DType, Shape, and
// Patch, the only way to edit. It follows ONNX: values are names, nodes are in topological order, weights
// are initializers.
//
// A Model is immutable once it is returned: every edit makes a new one that shares what did not change. The
// package reads no files, knows no operator and logs nothing. Start reading at Model, then at Patch.
package model

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"math"
	"sort"
	"strconv"
	"strings"
	"sync"
)

// NodeID names a node for the life of a document. An imported node is named from its place in the file; a
// node that a step made is derived from the step and the nodes it stands for, so that running a recipe's
// prefix again gives the same ids.
type NodeID string

// Model is a network with its declarations. Fields are read-only after construction.
type Model struct {
	IRVersion   int64
	Opsets      []Opset // in file order; domain "" is ai.onnx
	Producer    string
	ProducerVer string
	Domain      string
	ModelVer    int64
	Doc         string
	Graph       *Graph
	Functions   []*Function
	Metadata    []KV
	Unknown     [][]byte // fields of the file that the reader does not know, tag and value
	Source      *Source  // the file the model came from, nil after an edit

	hash     string
	hashOnce sync.Once
}

// Source is the file behind an unmodified model: saving writes exactly these bytes.
type Source struct {
	Format string // "onnx" or "tflite"
	Path   string
	Bytes  []byte // the mapped file
}

// Opset is an operator set the model imports.
type Opset struct {
	Domain  string
	Version int64
}

// KV is one entry of a string table, in file order.
type KV struct{ Key, Value string }

// Graph is a list of nodes in topological order with its inputs, outputs and constants.
type Graph struct {
	Name    string
	Doc     string
	Nodes   []*Node
	Inputs  []Value
	Outputs []Value
	Values  []Value // value_info: declared types of inner values
	Inits   []*Init
	Meta    []KV
	Unknown [][]byte

	once  sync.Once
	index *Index
}

// Value is a named edge with its type.
type Value struct {
	Name string
	Type Type
	Doc  string
	Raw  []byte // the ValueInfoProto as read, kept while nothing changed
}

// Init is a named constant.
type Init struct {
	Name     string
	Tensor   *Tensor
	External *External // where the bytes came from, if not from the file itself
	Raw      []byte    // the TensorProto as read, kept while nothing changed
}

// External is the place of a tensor's bytes in a file beside the model.
type External struct {
	Location       string
	Offset, Length int64
}

// Function is a model-local function: the expansion of an operator of a custom domain.
type Function struct {
	Name, Domain, Overload string
	Inputs, Outputs, Attrs []string
	Defaults               []Attr // attributes with default values
	Opsets                 []Opset
	Nodes                  []*Node
	Doc                    string
	Raw                    []byte
}

// Node applies an operator. Origin lists the imported nodes that it stands for; for an imported node, itself.
type Node struct {
	ID       NodeID
	Name     string
	Op       string
	Domain   string // "" is ai.onnx
	Overload string
	Inputs   []string // "" is an absent optional input
	Outputs  []string
	Attrs    []Attr
	Origin   []NodeID
	Doc      string
	Unknown  [][]byte
	Raw      []byte // the NodeProto as read, kept while nothing changed
}

// AttrType is the kind of an attribute's value, numbered as AttributeProto.AttributeType.
type AttrType int32

// The attribute types of ONNX.
const (
	AttrFloat     AttrType = 1
	AttrInt       AttrType = 2
	AttrString    AttrType = 3
	AttrTensor    AttrType = 4
	AttrGraph     AttrType = 5
	AttrFloats    AttrType = 6
	AttrInts      AttrType = 7
	AttrStrings   AttrType = 8
	AttrTensors   AttrType = 9
	AttrGraphs    AttrType = 10
	AttrSparse    AttrType = 11
	AttrTypeProto AttrType = 13
)

// Attr is a named attribute; the field that Type names holds the value. Ref names the attribute of the
// enclosing function that it stands for.
type Attr struct {
	Name    string
	Type    AttrType
	F       float32
	I       int64
	S       []byte
	T       *Tensor
	G       *Graph
	TP      *Type
	Floats  []float32
	Ints    []int64
	Strings [][]byte
	Tensors []*Tensor
	Graphs  []*Graph
	Ref     string
	Doc     string
	Raw     []byte // the AttributeProto as read; kept for kinds that are not decoded
}

// Attr gives the attribute called name, or nil.
func (n *Node) Attr(name string) *Attr {
	for i := range n.Attrs {
		if n.Attrs[i].Name == name {
			return &n.Attrs[i]
		}
	}
	return nil
}

// Int is the integer attribute name, or def where it is absent.
func (n *Node) Int(name string, def int64) int64 {
	if a := n.Attr(name); a != nil {
		return a.I
	}
	return def
}

// Float is the float attribute name, or def where it is absent.
func (n *Node) Float(name string, def float32) float32 {
	if a := n.Attr(name); a != nil {
		return a.F
	}
	return def
}

// Str is the string attribute name, or def where it is absent.
func (n *Node) Str(name, def string) string {
	if a := n.Attr(name); a != nil {
		return string(a.S)
	}
	return def
}

// Ints is the integer list attribute name, or nil where it is absent.
func (n *Node) Ints(name string) []int64 {
	if a := n.Attr(name); a != nil {
		return a.Ints
	}
	return nil
}

// Label is what people call the node: its name, else its first output, else its id.
func (n *Node) Label() string {
	if n.Name != "" {
		return n.Name
	}
	if len(n.Outputs) > 0 && n.Outputs[0] != "" {
		return n.Outputs[0]
	}
	return string(n.ID)
}

// Opset is the version of domain that the model imports, 0 where it does not. "ai.onnx" means "".
func (m *Model) Opset(domain string) int {
	if domain == "ai.onnx" {
		domain = ""
	}
	for _, o := range m.Opsets {
		d := o.Domain
		if d == "ai.onnx" {
			d = ""
		}
		if d == domain {
			return int(o.Version)
		}
	}
	return 0
}

// Meta is the metadata value of key, "" where it is absent.
func (m *Model) Meta(key string) string {
	for _, kv := range m.Metadata {
		if kv.Key == key {
			return kv.Value
		}
	}
	return ""
}

// Function finds the model-local function of a node's operator, or nil.
func (m *Model) Function(domain, name, overload string) *Function {
	for _, f := range m.Functions {
		if f.Domain == domain && f.Name == name && f.Overload == overload {
			return f
		}
	}
	return nil
}

// Derive makes the id of a node that step made from the nodes from. The order of from does not matter.
func Derive(step string, from ...NodeID) NodeID {
	s := make([]string, len(from))
	for i, f := range from {
		s[i] = string(f)
	}
	sort.Strings(s)
	h := sha256.Sum256([]byte(step + "\x00" + strings.Join(s, "\x00")))
	return NodeID(hex.EncodeToString(h[:6]))
}

// MergeOrigins is the sorted union of the nodes' origins.
func MergeOrigins(nodes ...*Node) []NodeID {
	seen := map[NodeID]bool{}
	var out []NodeID
	for _, n := range nodes {
		for _, o := range n.Origin {
			if !seen[o] {
				seen[o] = true
				out = append(out, o)
			}
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i] < out[j] })
	return out
}

// AssignIDs names the nodes of a freshly read graph: the node's name where it is unique, else its first
// output, else its operator and place; nodes of subgraphs are prefixed with the id of the node that holds
// them. It sets Origin to the node itself. Only readers and builders call it, before publishing the model.
func AssignIDs(g *Graph, prefix string) {
	names := map[string]int{}
	for _, n := range g.Nodes {
		names[n.Name]++
	}
	used := map[NodeID]bool{}
	for i, n := range g.Nodes {
		id := n.Name
		if id == "" || names[id] > 1 {
			id = ""
			for _, o := range n.Outputs {
				if o != "" {
					id = o
					break
				}
			}
		}
		if id == "" {
			id = n.Op + "_" + strconv.Itoa(i)
		}
		n.ID = NodeID(prefix + id)
		for k := 2; used[n.ID]; k++ {
			n.ID = NodeID(prefix + id + "#" + strconv.Itoa(k))
		}
		used[n.ID] = true
		n.Origin = []NodeID{n.ID}
		for _, a := range n.Attrs {
			if a.G != nil {
				AssignIDs(a.G, string(n.ID)+"/"+a.Name+"/")
			}
			for k, sub := range a.Graphs {
				AssignIDs(sub, string(n.ID)+"/"+a.Name+strconv.Itoa(k)+"/")
			}
		}
	}
}

// Hash is the content hash of everything that decides what the model computes and how it is saved, as hex
// SHA-256; for an unmodified model that of its file. It is computed once.
func (m *Model) Hash() string {
	m.hashOnce.Do(func() {
		h := newHasher()
		if m.Source != nil {
			h.h.Write(m.Source.Bytes) // what sha256sum says of the file, unless weights lie beside it
			for _, i := range m.Graph.Inits {
				if i.External != nil {
					h.tensor(i.Tensor)
				}
			}
		} else {
			h.model(m)
		}
		m.hash = hex.EncodeToString(h.h.Sum(nil))
	})
	return m.hash
}

type hasher struct {
	h   hash.Hash
	buf [8]byte
}

func newHasher() *hasher { return &hasher{h: sha256.New()} }

func (h *hasher) num(v int64) {
	binary.LittleEndian.PutUint64(h.buf[:], uint64(v))
	h.h.Write(h.buf[:])
}
func (h *hasher) bytes(b []byte) { h.num(int64(len(b))); h.h.Write(b) }
func (h *hasher) str(s ...string) {
	h.num(int64(len(s)))
	for _, e := range s {
		h.bytes([]byte(e))
	}
}

func (h *hasher) model(m *Model) {
	h.num(m.IRVersion)
	for _, o := range m.Opsets {
		h.str(o.Domain)
		h.num(o.Version)
	}
	for _, kv := range m.Metadata {
		h.str(kv.Key, kv.Value)
	}
	h.str(m.Producer, m.ProducerVer, m.Domain, m.Doc)
	h.graph(m.Graph)
	for _, f := range m.Functions {
		h.str(f.Name, f.Domain, f.Overload)
		h.str(f.Inputs...)
		h.str(f.Outputs...)
		h.str(f.Attrs...)
		for _, n := range f.Nodes {
			h.node(n)
		}
	}
}

func (h *hasher) graph(g *Graph) {
	h.str(g.Name)
	for _, vs := range [][]Value{g.Inputs, g.Outputs, g.Values} {
		h.num(int64(len(vs)))
		for _, v := range vs {
			h.str(v.Name, v.Type.String())
		}
	}
	h.num(int64(len(g.Inits)))
	for _, i := range g.Inits {
		h.str(i.Name)
		h.tensor(i.Tensor)
	}
	h.num(int64(len(g.Nodes)))
	for _, n := range g.Nodes {
		h.node(n)
	}
}

func (h *hasher) node(n *Node) {
	h.str(string(n.ID), n.Name, n.Op, n.Domain, n.Overload)
	h.str(n.Inputs...)
	h.str(n.Outputs...)
	for i := range n.Attrs {
		a := &n.Attrs[i]
		h.str(a.Name, a.Ref)
		h.num(int64(a.Type))
		h.num(int64(math.Float32bits(a.F)))
		h.num(a.I)
		h.bytes(a.S)
		for _, f := range a.Floats {
			h.num(int64(math.Float32bits(f)))
		}
		for _, v := range a.Ints {
			h.num(v)
		}
		for _, s := range a.Strings {
			h.bytes(s)
		}
		for _, t := range append([]*Tensor{a.T}, a.Tensors...) {
			h.tensor(t)
		}
		for _, g := range append([]*Graph{a.G}, a.Graphs...) {
			if g != nil {
				h.graph(g)
			}
		}
	}
}

func (h *hasher) tensor(t *Tensor) {
	if t == nil {
		h.num(-1)
		return
	}
	h.num(int64(t.DType))
	h.num(int64(len(t.Shape)))
	for _, d := range t.Shape {
		h.num(int64(d))
	}
	h.bytes(t.Raw)
	h.str(t.Strs...)
}
