package quantize

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"time"

	"fettle/model"
	"fettle/optimizer"
)

// saveEvery is how often a calibration that is under way is kept: what a kill can lose.
const saveEvery = 2 * time.Second

// progress keeps the histograms of a calibration under way, so that one that was killed goes on where it was, and one that ended need
// not run again for other options.
type progress struct {
	r    *ranges
	keep optimizer.Keep // nil: nothing is kept
	key  string
	last time.Time
}

// progress names the calibration by all that its histograms depend on.
func (r *ranges) progress(env *optimizer.Env, m *model.Model, values []string, total int) *progress {
	p := &progress{r: r, keep: env.Keep, last: time.Now()}
	if p.keep == nil {
		return p
	}
	h := sha256.New()
	fmt.Fprintln(h, "calibration 1", m.Hash(), env.Data.Hash(), total)
	for _, v := range values {
		fmt.Fprintf(h, "%q %q\n", v, r.sel.find(v))
	}
	p.key = hex.EncodeToString(h.Sum(nil))
	return p
}

// load gives the items that were counted before. What cannot be read is begun anew.
func (p *progress) load() int {
	if p.keep == nil {
		return 0
	}
	b, ok := p.keep.Get(p.key)
	if !ok {
		return 0
	}
	groups, n, ok := decodeRanges(b)
	if !ok || len(groups) != len(p.r.groups) {
		return 0
	}
	for g := range p.r.groups {
		if groups[g] == nil {
			return 0
		}
	}
	p.r.groups = groups
	return n
}

// save keeps the histograms after n items, now and then, and at the end.
func (p *progress) save(n int, end bool) error {
	if p.keep == nil || !end && time.Since(p.last) < saveEvery {
		return nil
	}
	p.last = time.Now()
	return p.keep.Put(p.key, encodeRanges(p.r.groups, n))
}

// resumer is data that can begin behind its first items without reading them.
type resumer interface {
	EachFrom(ctx context.Context, first, limit int, visit func(i int, inputs map[string]*model.Tensor) error) error
}

// from visits the items of Each behind the first ones.
func from(ctx context.Context, d optimizer.Data, first, limit int, visit func(i int, inputs map[string]*model.Tensor) error) error {
	if r, ok := d.(resumer); ok {
		return r.EachFrom(ctx, first, limit, visit)
	}
	return d.Each(ctx, limit, func(i int, in map[string]*model.Tensor) error {
		if i < first {
			return nil
		}
		return visit(i, in)
	})
}

// encodeRanges writes the number of items, then each group: name, limit, min, max, n, and its bins as runs of zeros and counts. The
// last 32 bytes are the SHA-256 of those before.
func encodeRanges(groups map[string]*histogram, items int) []byte {
	b := binary.AppendUvarint(nil, uint64(items))
	b = binary.AppendUvarint(b, uint64(len(groups)))
	names := make([]string, 0, len(groups))
	for g := range groups {
		names = append(names, g)
	}
	slices.Sort(names)
	for _, g := range names {
		h := groups[g]
		b = append(binary.AppendUvarint(b, uint64(len(g))), g...)
		for _, v := range []float64{h.limit, h.min, h.max} {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
		b = binary.AppendUvarint(b, uint64(h.n))
		for i := 0; i < bins; i++ {
			b = binary.AppendUvarint(b, uint64(h.count[i]))
			if h.count[i] == 0 {
				run := i
				for run+1 < bins && h.count[run+1] == 0 {
					run++
				}
				b = binary.AppendUvarint(b, uint64(run-i))
				i = run
			}
		}
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// decodeRanges reads what encodeRanges wrote; false for anything else.
func decodeRanges(b []byte) (groups map[string]*histogram, items int, ok bool) {
	if len(b) < sha256.Size {
		return nil, 0, false
	}
	body := b[:len(b)-sha256.Size]
	if sum := sha256.Sum256(body); string(sum[:]) != string(b[len(body):]) {
		return nil, 0, false
	}
	good := true
	number := func() uint64 {
		v, n := binary.Uvarint(body)
		if good = good && n > 0; !good {
			return 0
		}
		body = body[n:]
		return v
	}
	take := func(n uint64) []byte {
		if good = good && n <= uint64(len(body)); !good {
			return nil
		}
		out := body[:n]
		body = body[n:]
		return out
	}
	count := number()
	groups = map[string]*histogram{}
	for left := number(); left > 0 && good; left-- {
		name := string(take(number()))
		h := &histogram{}
		for _, v := range []*float64{&h.limit, &h.min, &h.max} {
			if f := take(8); good {
				*v = math.Float64frombits(binary.LittleEndian.Uint64(f))
			}
		}
		h.n = int64(number())
		for i := 0; i < bins && good; i++ {
			if h.count[i] = int64(number()); h.count[i] == 0 {
				i += int(min(number(), bins))
			}
		}
		groups[name] = h
	}
	return groups, int(min(count, math.MaxInt32)), good && len(body) == 0
}
