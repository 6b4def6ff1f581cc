package engine

import "fettle/kernels/team"

// alone is the work below which one worker does a step by itself: handing out pieces and waiting for each other costs all
// workers more than the others would save. Measured (`go test ./kernels/team -bench Barrier`, Zen 3): two workers are faster from 1.5 to 2.2
// microseconds of work on; these are as many products at half of the peak, and as much traffic at 12 GB/s.
var alone = []struct {
	dtype string
	macs  int64 // multiply-accumulates
	bytes int64 // read and written
}{
	{"int8", 64 << 10, 24 << 10},
	{"", 48 << 10, 24 << 10}, // any other
}

// lonely reports whether one worker does the step.
func (s *Step) lonely() bool {
	for _, r := range alone {
		if r.dtype == "" || r.dtype == s.DType {
			return s.MACs < r.macs && s.Bytes < r.bytes
		}
	}
	return false
}

// serial is tasks that one worker does one after the other, with one barrier behind all of them.
type serial []team.Task

// Stages is 1.
func (s serial) Stages() int { return 1 }

// Pieces is 1.
func (s serial) Pieces(int) int { return 1 }

// Piece does all tasks.
func (s serial) Piece(_, _, worker int) {
	for _, t := range s {
		for stage := range t.Stages() {
			for i := range t.Pieces(stage) {
				t.Piece(stage, i, worker)
			}
		}
	}
}

// settle decides who does the tasks of p: small steps are for one worker, and neighbours that one worker does are one group.
// Where each step is timed there are no groups.
func (s *Session) settle(p *part) {
	if s.crew.Size() == 1 {
		p.groups = p.tasks
		return
	}
	var group serial
	flush := func() {
		if len(group) > 0 {
			p.groups = append(p.groups, group)
		}
		group = nil
	}
	for i, t := range p.tasks {
		single := t.Stages() == 1 && t.Pieces(0) <= 1
		if !single && s.Plan.steps[p.ofStep[i]].lonely() {
			t = serial{t}
			p.tasks[i], single = t, true
		}
		if single {
			group = append(group, t)
			continue
		}
		flush()
		p.groups = append(p.groups, t)
	}
	flush()
}
