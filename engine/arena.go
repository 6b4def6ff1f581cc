package engine

import (
	"math"
	"sort"

	"fettle/internal/fail"
)

// arenaLimit bounds the memory of one session's activations.
const arenaLimit = min(1<<36, math.MaxInt>>1)

// align keeps buffers on cache lines and leaves the 64 readable bytes behind each that kernels may touch.
const align = 64

// place gives every used buffer an offset such that two that are alive at the same step never share a byte: largest
// first, each into the lowest gap that fits (greedy by size, as in Pisarchyk and Lee 2020, arXiv:2001.03288). It returns
// the buffers placed, the bytes needed and the lower bound, the most bytes alive at one step.
func place(bufs []*buffer, steps int) (live []*buffer, size, floor int, err error) {
	alive := make([]int, steps+2)
	for _, b := range bufs {
		if b.pinned {
			b.first, b.last = 0, steps
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
	sort.SliceStable(live, func(i, j int) bool {
		if live[i].size != live[j].size {
			return live[i].size > live[j].size
		}
		return live[i].first < live[j].first
	})
	placed := make([]*buffer, 0, len(live))
	for _, b := range live {
		off := 0
		for _, p := range placed { // placed is sorted by offset
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
		at := sort.Search(len(placed), func(i int) bool { return placed[i].off > off })
		placed = append(placed, nil)
		copy(placed[at+1:], placed[at:])
		placed[at] = b
	}
	for _, b := range placed {
		b.alone = true
		for _, o := range placed {
			if o != b && o.off < b.off+padded(b.size) && b.off < o.off+padded(o.size) {
				b.alone = false
				break
			}
		}
	}
	return live, size, floor, nil
}

func padded(n int) int { return (n+align-1)/align*align + align }
