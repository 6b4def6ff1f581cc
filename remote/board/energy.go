package board

import (
	"context"
	"sync/atomic"
	"time"

	"fettle/internal/task"
)

// Meter measures the energy of what happens between its start and its end: by the difference of a counter of the processor where there is one,
// else by the sensors of power, read every ten milliseconds.
type Meter struct {
	root    root
	begin   time.Time
	counter string
	at      int64
	wraps   int64
	group   *task.Group
	sum     atomic.Uint64 // of readings, in milliwatts
	n       atomic.Int64
	why     string
}

const powerEvery = 10 * time.Millisecond

// StartMeter begins. What cannot be measured says why at the end.
func StartMeter(dir string) *Meter {
	m := &Meter{root: root(dir), begin: time.Now()}
	list, why := power(m.root)
	m.why = why
	sensors := false
	for _, s := range list {
		if s.Kind == "energy" && m.counter == "" {
			if v, ok := m.root.number(s.Path); ok {
				m.counter, m.at = s.Path, v
				if top, ok := m.root.number(s.Path[:len(s.Path)-len("energy_uj")] + "max_energy_range_uj"); ok {
					m.wraps = top
				}
			}
		}
		sensors = sensors || s.Kind != "energy"
	}
	if m.counter == "" && sensors {
		m.group = task.NewGroup(context.Background())
		m.group.Go("power", m.watch)
	}
	return m
}

func (m *Meter) watch(ctx context.Context) error {
	tick := time.NewTicker(powerEvery)
	defer tick.Stop()
	for {
		if w := watts(m.root); w != nil {
			m.sum.Add(uint64(*w * 1000))
			m.n.Add(1)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Joules ends the measurement. by names what measured: "counter" or "sensor"; "" with the reason where nothing did.
func (m *Meter) Joules() (j float64, by, why string) {
	took := time.Since(m.begin).Seconds()
	if m.counter != "" {
		v, ok := m.root.number(m.counter)
		if !ok {
			return 0, "", "energy: the counter cannot be read any more"
		}
		if d := v - m.at; d >= 0 {
			return float64(d) / 1e6, "counter", ""
		} else if m.wraps > 0 {
			return float64(d+m.wraps) / 1e6, "counter", ""
		}
		return 0, "", "energy: the counter began anew"
	}
	if m.group == nil {
		return 0, "", m.why
	}
	m.group.Cancel()
	_ = m.group.Wait() // it has no errors
	if m.n.Load() == 0 {
		return 0, "", "power: the sensors stopped answering"
	}
	return float64(m.sum.Load()) / 1000 / float64(m.n.Load()) * took, "sensor", ""
}
