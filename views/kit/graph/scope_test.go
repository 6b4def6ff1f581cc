package graph

import (
	"reflect"
	"testing"
)

func TestScope(t *testing.T) {
	for _, c := range []struct {
		name  string
		scope []string
		rest  string
	}{
		{"/layer3/0/conv1/Conv", []string{"layer3", "0", "conv1"}, "Conv"},
		{"layer3.0.conv1", []string{"layer3", "0"}, "conv1"},
		{"/layer1/layer1.0/relu_1/Relu", []string{"layer1", "layer1.0", "relu_1"}, "Relu"},
		{"Conv_71", []string{}, "Conv_71"},
		{"", nil, ""},
		{"/", nil, "/"},
	} {
		if s, r := Scope(c.name); r != c.rest || len(s) != len(c.scope) || len(s) > 0 && !reflect.DeepEqual(s, c.scope) {
			t.Errorf("%q: %v %q", c.name, s, r)
		}
	}
}

// titled makes a chain of items with these names.
func titled(names ...string) *Tree {
	var items []Item
	var wires []Wire
	for i, n := range names {
		s, r := Scope(n)
		items = append(items, Item{ID: n, Name: n, Scope: s, Title: r})
		if i > 0 {
			wires = append(wires, Wire{int32(i - 1), int32(i)})
		}
	}
	return NewTree(items, wires)
}

func groups(t *Tree) []string {
	var out []string
	for _, g := range t.Groups[1:] {
		out = append(out, g.Title)
	}
	return out
}

func TestGroups(t *testing.T) {
	for _, c := range []struct {
		why   string
		names []string
		want  []string
	}{
		{"scopes", []string{"in", "a/x", "a/y", "b/x", "b/y"}, []string{"a", "b"}},
		{"a scope of one is its layer", []string{"in", "a/x", "b/x", "b/y"}, []string{"b"}},
		{"numbers take the name of their parent", []string{"s", "l/0/x", "l/0/y", "l/1/x", "l/1/y", "e", "f"}, []string{"l", "l.0", "l.1"}},
		{"a scope around everything says nothing", []string{"m/a/x", "m/a/y", "m/a/z", "m/b/x", "m/b/y", "m/b/z", "m/c/x", "m/c/y"}, []string{"a", "b", "c"}},
		{"but its numbers keep its name", []string{"m/0/x", "m/0/y", "m/0/z", "m/1/x", "m/1/y", "m/1/z", "m/2/x", "m/2/y"}, []string{"m.0", "m.1", "m.2"}},
		{"prefixes that lie together", []string{"fire1_a", "fire1_b", "fire1_c", "fire2_a", "fire2_b", "fire2_c"}, []string{"fire1", "fire2"}},
		{"after what all begin with", []string{"net_s1_a", "net_s1_b", "net_s1_c", "net_s2_a", "net_s2_b", "net_s2_c"}, []string{"s1", "s2"}},
		{"operators with numbers are no scopes", []string{"Conv_0", "Relu_1", "Conv_2", "Relu_3", "Conv_4", "Relu_5"}, nil},
	} {
		if got := groups(titled(c.names...)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", c.why, got, c.want)
		}
	}
}

// A scope that the data leaves and enters again cannot be one box.
func TestUnknot(t *testing.T) {
	tree := titled("a/1", "a/2", "x", "a/3", "a/4", "b/1", "b/2")
	if got := groups(tree); !reflect.DeepEqual(got, []string{"b"}) {
		t.Errorf("groups %v", got)
	}
	if n := len(tree.Groups[0].Kids); n != 6 {
		t.Errorf("%d kids of the root", n)
	}
}

// Without names, what lies between two cuts is a block.
func TestCuts(t *testing.T) {
	items := make([]Item, 11)
	wires := []Wire{{0, 1}, {1, 2}, {2, 3}, {3, 4}, {1, 4}, {4, 5}, {5, 6}, {6, 7}, {7, 8}, {5, 8}, {8, 9}, {9, 10}}
	tree := NewTree(items, wires)
	if len(tree.Groups) != 3 {
		t.Fatalf("%d groups, want two blocks", len(tree.Groups)-1)
	}
	if b := tree.Groups[2].Blocks; b != [2]int{2, 2} {
		t.Errorf("the second block has numbers %v", b)
	}
	want := []int32{0, 0, 1, 1, 1, 0, 2, 2, 2, 0, 0}
	if !reflect.DeepEqual(tree.Home, want) {
		t.Errorf("homes %v, want %v", tree.Home, want)
	}
}
