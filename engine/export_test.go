package engine

// Placed is what tests of the arena see of a buffer.
type Placed struct {
	What      string
	Off, Size int // bytes
	First     int // step that writes it first, -1 for inputs
	Last      int // last step that touches it
}

// Arena gives the buffers of a plan as its steps use them: from what steps read and write, not from what place was told.
func Arena(p *Plan) (bufs []Placed, steps int) {
	at := map[*buffer]int{}
	var see func(b *buffer, step int)
	see = func(b *buffer, step int) {
		if b == nil || b.ext != nil || b.size == 0 {
			return
		}
		if b.whole != nil { // a part lies in its whole, and keeps all of it
			see(b.whole, step)
			return
		}
		i, known := at[b]
		if !known {
			i = len(bufs)
			at[b] = i
			bufs = append(bufs, Placed{What: b.what, Off: b.off, Size: b.size, First: step, Last: step})
		}
		bufs[i].First, bufs[i].Last = min(bufs[i].First, step), max(bufs[i].Last, step)
	}
	for i, s := range p.steps {
		for _, b := range s.reads {
			see(b, i)
		}
		for _, b := range s.writes {
			see(b, i)
		}
	}
	for _, v := range p.inputs { // written by Feed, read by any run
		see(v.plain, -1)
		see(v.plain, len(p.steps))
	}
	for _, v := range p.outputs { // read after the last step
		if v.data == nil && !v.dynamic {
			see(v.plain, len(p.steps))
		}
	}
	return bufs, len(p.steps)
}

// Shorten makes the life of the buffer that is read at step end one step earlier and places all again, as a compiler with
// such a bug would. false: the step reads no buffer whose life ends there.
func Shorten(p *Plan, end int) (bool, error) {
	for _, b := range p.steps[end].reads {
		if b.ext == nil && !b.pinned && b.whole == nil && !b.parts && b.last == end && b.born >= 0 && b.born < end-1 {
			b.last = b.born
			var err error
			p.buffers, p.arena, p.FloorBytes, err = place(p.buffers, len(p.steps))
			return true, err
		}
	}
	return false, nil
}
