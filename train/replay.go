package train

import (
	"math"

	"fettle/internal/fail"
	"fettle/model"
)

// A pass forward keeps its values for the way back. Recompute lets it drop most of them: nodes are cut into parts, only what leaves a part is
// kept, and on the way back a part is run again when it is its turn. The same kernels run on the same numbers, so the same bits come out;
// a step takes as much longer as running the dropped parts forward takes.
//
// Source: Chen et al. 2016, arXiv:1604.06174.
type Recompute struct {
	Every int   // nodes a part; 0: as Bytes says
	Bytes int64 // most bytes of values that are kept, of one tape; 0: everything is kept
}

// segment is a run of nodes whose values are dropped and made again, or kept.
type segment struct {
	from, to int // of nodes
	again    bool
	leave    []string // values that others read
}

// wholes gives what a tape does without recompute: one part.
func (t *tape[T]) wholes() []segment { return []segment{{from: 0, to: len(t.nodes)}} }

// divide cuts the nodes into parts for the batch that is under way.
func (t *tape[T]) divide() ([]segment, error) {
	r := t.recompute
	switch {
	case r.Every > 0:
		var l []segment
		for from := 0; from < len(t.nodes); from += r.Every {
			l = append(l, segment{from: from, to: min(len(t.nodes), from+r.Every), again: from+r.Every < len(t.nodes)})
		}
		t.leaving(l)
		return l, nil
	case r.Bytes > 0:
		return t.within(r.Bytes)
	}
	return t.wholes(), nil
}

// within is the cut that keeps at most so many bytes and runs the fewest nodes again.
func (t *tape[T]) within(most int64) ([]segment, error) {
	sizes := make([]int64, len(t.nodes)) // of what each node makes
	total := int64(0)
	for i := range t.nodes {
		for _, o := range t.made(i) {
			sizes[i] += t.bytesOf(o)
		}
		total += sizes[i]
	}
	if total <= most {
		return t.wholes(), nil
	}
	least, best, fewest := int64(math.MaxInt64), []segment(nil), int64(math.MaxInt64)
	for n := 2; n <= len(t.nodes); n++ {
		l := t.equal(sizes, total, n)
		t.leaving(l)
		inside := make([]int64, len(l))
		for i, p := range l {
			for k := p.from; k < p.to; k++ {
				inside[i] += sizes[k]
			}
		}
		kept, widest, rest, again := int64(0), int64(0), total, int64(0)
		for i := range l { // parts from the front are run again until the rest has room
			l[i].again = true
			for _, v := range l[i].leave {
				kept += t.bytesOf(v)
			}
			widest, rest, again = max(widest, inside[i]), rest-inside[i], again+int64(l[i].to-l[i].from)
			need := kept + widest + rest
			least = min(least, need)
			if need <= most {
				if again < fewest {
					best, fewest = append([]segment(nil), l...), again
				}
				break
			}
		}
	}
	if best == nil {
		return nil, fail.New(fail.Unsupported, "a step keeps at least %.1f MiB of values on each thread, with all others computed again; %.1f are allowed", float64(least)/(1<<20), float64(most)/(1<<20)).Try("allow more, or make the batch smaller")
	}
	return best, nil
}

// equal cuts the nodes into at most n parts of about as many bytes.
func (t *tape[T]) equal(sizes []int64, total int64, n int) []segment {
	var l []segment
	from, sum := 0, int64(0)
	for i, s := range sizes {
		if sum += s; sum >= total*int64(len(l)+1)/int64(n) || i == len(sizes)-1 {
			l = append(l, segment{from: from, to: i + 1})
			from = i + 1
		}
	}
	return l
}

// made lists the values that a node makes.
func (t *tape[T]) made(i int) []string {
	if t.nodes[i].many == nil {
		return []string{t.nodes[i].out}
	}
	var l []string
	for _, o := range t.nodes[i].n.Outputs {
		if o != "" {
			l = append(l, o)
		}
	}
	return l
}

// bytesOf is the size of a value for the batch that is under way; 0 where it is not known.
func (t *tape[T]) bytesOf(name string) int64 {
	typ := t.now[name]
	if !typ.Ranked {
		return 0
	}
	n := int64(4)
	if d := typ.Shape; len(d) > 0 && d[0].Known() && d[0].N == 1 { // exported for a batch of 1
		n *= int64(t.items)
	}
	for _, d := range typ.Shape {
		if !d.Known() {
			return 0
		}
		n *= int64(d.N)
	}
	return n
}

// leaving finds the values that leave each part.
func (t *tape[T]) leaving(l []segment) {
	last := map[string]int{t.output: len(t.nodes)} // by value: the last node that reads it
	for _, v := range t.shown {
		last[v] = len(t.nodes)
	}
	for i, a := range t.nodes {
		for _, in := range a.n.Inputs {
			last[in] = max(last[in], i)
		}
	}
	for k := range l {
		l[k].leave = nil
		for i := l[k].from; i < l[k].to; i++ {
			for _, v := range t.made(i) {
				if last[v] >= l[k].to {
					l[k].leave = append(l[k].leave, v)
				}
			}
		}
	}
}

// runPart runs the nodes of a part forward, and drops what does not leave it where it is run again later.
func (t *tape[T]) runPart(p segment) error {
	if !p.again {
		return t.runNodes(p.from, p.to)
	}
	t.memory, t.room = t.room, t.memory
	err := t.runNodes(p.from, p.to)
	t.memory, t.room = t.room, t.memory
	if err != nil {
		return err
	}
	left := map[string]*array[T]{}
	copied := map[*array[T]]*array[T]{}
	for _, v := range p.leave {
		x := t.values[v]
		if x == nil {
			continue
		}
		if copied[x] == nil {
			copied[x] = t.array(x.shape...)
			copy(copied[x].v, x.v)
		}
		left[v] = copied[x]
	}
	t.forgetPart(p, left)
	return nil
}

// forgetPart drops the values of a part but those that left it.
func (t *tape[T]) forgetPart(p segment, left map[string]*array[T]) {
	for i := p.from; i < p.to; i++ {
		t.saved[i] = nil
		for _, v := range t.made(i) {
			delete(t.values, v)
		}
	}
	for v, x := range left {
		t.values[v] = x
	}
	t.room.reset()
}

// backPart takes gradients back through a part.
func (t *tape[T]) backPart(p segment) error {
	if !p.again {
		return t.backNodes(p.from, p.to)
	}
	left := map[string]*array[T]{}
	for _, v := range p.leave {
		if x := t.values[v]; x != nil {
			left[v] = x
		}
	}
	t.memory, t.room = t.room, t.memory
	t.replaying = true
	err := t.runNodes(p.from, p.to)
	t.replaying = false
	t.memory, t.room = t.room, t.memory
	if err == nil {
		err = t.backNodes(p.from, p.to)
	}
	t.forgetPart(p, left)
	return err
}

// arena is the memory that values and gradients of a pass have, in bytes.
func (t *tape[T]) arena() int64 {
	n := int64(0)
	for _, m := range []*memory[T]{&t.memory, &t.room} {
		for _, c := range m.chunks {
			n += int64(len(c)) * 4
		}
	}
	return n
}

// seen is what a normalisation knew of its batch when it ran first: running again must not move its running statistics once more.
func (t *tape[T]) seen(n *model.Node, s normSaved[T]) {
	if t.batchStats == nil {
		t.batchStats = map[*model.Node]normSaved[T]{}
	}
	t.batchStats[n] = s
}
