package engine

import (
	"cmp"
	"math"
	"slices"
	"sort"

	"fettle/internal/fail"
)

// arenaLimit bounds the memory of one session's activations.
const arenaLimit = min(1<<36, math.MaxInt>>1)

// align keeps buffers on cache lines and leaves the 64 readable bytes behind each that kernels may touch.
const align = 64

// place gives every used buffer an offset such that two that are alive at the same step never share a byte. It returns the
// buffers placed, the bytes needed and the lower bound, the most bytes alive at one step.
func place(bufs []*buffer, steps int) (live []*buffer, size, floor int, err error) {
	alive := make([]int, steps+2)
	for _, b := range bufs {
		if b.pinned { // inputs stay for the next run, outputs until somebody asks for them
			b.last = steps
			if b.born < 0 {
				b.first = 0
			}
		}
		if b.first < 0 || b.size == 0 || b.whole != nil {
			continue
		}
		b.last = max(b.last, b.first)
		live = append(live, b)
		alive[b.first] += padded(b.size)
		alive[min(b.last, steps)+1] -= padded(b.size)
	}
	for i, sum := 0, 0; i < len(alive); i++ {
		sum += alive[i]
		floor = max(floor, sum)
	}
	if floor > arenaLimit {
		return nil, 0, floor, fail.New(fail.TooBig, "the activations need %d MB at once", floor>>20).Try("use a smaller batch or input")
	}
	size = arrange(live, floor)
	for _, b := range live {
		b.alone = true
		for _, o := range live {
			if o != b && o.off < b.off+padded(b.size) && b.off < o.off+padded(o.size) {
				b.alone = false
				break
			}
		}
	}
	return live, size, floor, nil
}

func padded(n int) int { return (n+align-1)/align*align + align }

// patience bounds the orders that arrange tries, and with them the time that planning takes.
const patience = 100

// arrange tries orders of the buffers until one needs at most a twentieth more than floor, and gives the bytes of the best. It begins with
// the largest first (greedy by size, as in Pisarchyk and Lee 2020, arXiv:2001.03288); then whatever ends up on top is
// placed earlier, where it still has a choice.
func arrange(live []*buffer, floor int) int {
	size := func(a, b *buffer) int { return cmp.Or(cmp.Compare(b.size, a.size), cmp.Compare(a.first, b.first)) }
	long := func(a, b *buffer) int {
		return cmp.Or(cmp.Compare(b.size*(b.last-b.first+1), a.size*(a.last-a.first+1)), size(a, b))
	}
	best, offs := math.MaxInt, make([]int, len(live))
	enough := floor + floor/20
	s := newShelf(len(live))
	for _, start := range []func(a, b *buffer) int{size, long} {
		order := slices.Clone(live)
		slices.SortStableFunc(order, start)
		for range patience {
			need := s.fill(order)
			if need < best {
				best = need
				for i, b := range live {
					offs[i] = b.off
				}
			}
			if best <= enough {
				break
			}
			top := slices.IndexFunc(order, func(b *buffer) bool { return b.off+padded(b.size) == need })
			b := order[top]
			copy(order[top/2+1:top+1], order[top/2:top])
			order[top/2] = b
			if top == 0 {
				break
			}
		}
	}
	for i, b := range live {
		b.off = offs[i]
	}
	return best
}

// shelf is the buffers that are placed already, by offset.
type shelf struct{ placed []*buffer }

func newShelf(n int) *shelf { return &shelf{make([]*buffer, 0, n)} }

// fill gives each buffer in turn the lowest gap that fits, and returns the bytes that all need.
func (s *shelf) fill(order []*buffer) int {
	s.placed = s.placed[:0]
	size := 0
	for _, b := range order {
		off := 0
		for _, p := range s.placed {
			if p.last < b.first || b.last < p.first {
				continue
			}
			if off+padded(b.size) <= p.off {
				break
			}
			off = max(off, p.off+padded(p.size))
		}
		b.off = off
		size = max(size, off+padded(b.size))
		at := sort.Search(len(s.placed), func(i int) bool { return s.placed[i].off > off })
		s.placed = slices.Insert(s.placed, at, b)
	}
	return size
}
