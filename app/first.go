package app

import (
	"context"
	"time"

	"fettle/internal/fail"
	"fettle/internal/task"
)

// FirstOptions say what follows once a board was added.
type FirstOptions struct {
	InstallKey bool // put a key on the board, so that the password is not needed again
	Profile    bool // measure the built-in sample at once
	Progress   task.Progress
}

// First is how a board was added, with the time that each part took: from nothing to the first profile.
type First struct {
	Facts     *TargetFacts `json:"facts"`
	Key       string       `json:"key,omitempty"` // file whose public half the board takes from now on
	AddNs     int64        `json:"add_ns"`        // host key, login, agent, facts
	KeyNs     int64        `json:"key_ns,omitempty"`
	ProfileNs int64        `json:"profile_ns,omitempty"`
	TotalNs   int64        `json:"total_ns"`
	P50Ns     *float64     `json:"p50_ns,omitempty"` // of the sample
	Run       string       `json:"run,omitempty"`

	begin time.Time
}

// AddBoard adds a board and takes the first steps with it. The password that asks gives is asked for once and used for all of them. A board
// that was added stays added where a later step fails.
func (a *App) AddBoard(ctx context.Context, t Target, o FirstOptions, asks Asks) (*First, error) {
	begin := time.Now()
	asks = onePassword(asks)
	f := &First{begin: begin}
	var err error
	o.Progress.Report(0, 3, "log in and put the agent there")
	if f.Facts, err = a.AddTarget(ctx, t, asks); err != nil {
		return nil, err
	}
	f.AddNs = time.Since(begin).Nanoseconds()
	if o.InstallKey {
		o.Progress.Report(1, 3, "install a key")
		at := time.Now()
		if f.Key, err = a.InstallKey(ctx, t.Name, asks); err != nil {
			return f, err
		}
		f.KeyNs = time.Since(at).Nanoseconds()
	}
	if o.Profile {
		o.Progress.Report(2, 3, "measure the sample")
		at := time.Now()
		m, err := a.Sample("")
		if err != nil {
			return f, err
		}
		p, err := a.Profile(ctx, ProfileRequest{Model: m, Name: "sample", Target: t.Name, Threads: 1, Runs: 20, Launches: 3, Progress: o.Progress, Asks: asks})
		if err != nil {
			return f, fail.In(err, "", fail.Where{Board: t.Name})
		}
		f.ProfileNs, f.P50Ns, f.Run = time.Since(at).Nanoseconds(), p.Clean.P50Ns, p.ID
	}
	f.TotalNs = time.Since(begin).Nanoseconds()
	return f, nil
}

// profiled is f with the first profile, where that came later than the board: the time from beginning to add it counts.
func (f *First) profiled(took time.Duration, p *Profile) *First {
	if f == nil || f.ProfileNs > 0 || f.begin.IsZero() {
		return f
	}
	c := *f
	c.ProfileNs, c.P50Ns, c.Run, c.TotalNs = took.Nanoseconds(), p.Clean.P50Ns, p.ID, time.Since(f.begin).Nanoseconds()
	return &c
}

// onePassword remembers what was typed, for the connections that follow within one call. A board that refuses it is asked about again.
func onePassword(asks Asks) Asks {
	ask := asks.Password
	if ask == nil {
		return asks
	}
	known := map[string]string{}
	asks.Password = func(ctx context.Context, user, host string) (string, error) {
		if p, ok := known[user+"@"+host]; ok {
			return p, nil
		}
		p, err := ask(ctx, user, host)
		if err == nil {
			known[user+"@"+host] = p
		}
		return p, err
	}
	return asks
}
