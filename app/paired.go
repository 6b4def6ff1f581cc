package app

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"time"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/profiler"
	"fettle/remote/deploy"
)

// PairedRequest says which two models are measured in turns. Model and Name of the request are A's; Launches are pairs.
type PairedRequest struct {
	ProfileRequest
	B     *model.Model
	NameB string
}

// Paired is what such a measurement gives.
type Paired struct {
	A      *Profile           `json:"a"`
	B      *Profile           `json:"b"`
	Result *ProfileComparison `json:"comparison"`
}

// ComparePaired measures two models in turns, launch by launch in random order, and compares them pair by pair: what the
// target changes meanwhile meets both. Both runs are kept in the history.
func (a *App) ComparePaired(ctx context.Context, q PairedRequest) (*Paired, error) {
	if q.Launches < 2 || q.Launches > maxLaunches || q.Runs < 1 || q.Runs > maxRuns || q.Threads < 0 || q.Threads > maxThreads {
		return nil, fail.New(fail.Usage, "%d pairs of %d runs, %d threads", q.Launches, q.Runs, q.Threads).Doing("compare in pairs").
			Try("give 2 to %d launches (20 are usual, 8 quick), 1 to %d runs and 1 to %d threads", maxLaunches, maxRuns, maxThreads)
	}
	x, err := pack(q.Name, q.Model)
	if err != nil {
		return nil, err
	}
	y, err := pack(q.NameB, q.B)
	if err != nil {
		return nil, err
	}
	opt, err := a.profileOptions(ctx, q.Model, q.ProfileRequest)
	if err != nil {
		return nil, err
	}
	var out Paired
	err = a.measuring(ctx, q.ProfileRequest, func(c *deploy.Conn) error {
		ta, tb, err := c.ProfilePaired(ctx, deploy.FromBundle(x), deploy.FromBundle(y), opt, func(side int, s deploy.Sample) {
			q.Progress.Report(int64(s.Done), int64(s.Total), "measure in turns")
			if q.Live != nil {
				q.Live(LiveSample{Launch: s.Launch, Kind: s.Kind, TotalNs: s.TotalNS, StepNs: s.StepNS, Done: s.Done, Total: s.Total})
			}
		})
		if err != nil {
			return err
		}
		if out.A, err = a.summarize(ctx, ta, q.Target); err != nil {
			return err
		}
		out.B, err = a.summarize(ctx, tb, q.Target)
		return err
	})
	if err != nil {
		return nil, err
	}
	out.Result, err = profiler.Compare(out.A, out.B)
	return &out, err
}

// NoiseFloor is the change that identical code showed on a target: a smaller one means nothing there.
type NoiseFloor struct {
	Floor float64 `json:"floor"` // share
	CPU   string  `json:"cpu"`
	Pairs int     `json:"pairs"`
	Runs  int     `json:"runs"`
	Taken int64   `json:"taken_unix"`
	Seal  string  `json:"seal"` // of the worse of the two runs
}

// MeasureNoise compares a model with itself on a target and keeps what difference came out. The floor is the end of the
// interval that is farther from no difference. Comparisons on the target count only changes beyond it.
func (a *App) MeasureNoise(ctx context.Context, q ProfileRequest) (*NoiseFloor, error) {
	p, err := a.ComparePaired(ctx, PairedRequest{ProfileRequest: q, B: q.Model, NameB: q.Name})
	if err != nil {
		return nil, fail.In(err, "measure the noise", fail.Where{})
	}
	n := &NoiseFloor{Floor: math.Max(math.Abs(p.Result.Ratio[0]-1), math.Abs(p.Result.Ratio[2]-1)), CPU: p.A.Target.CPU, Pairs: q.Launches, Runs: q.Runs,
		Taken: time.Now().Unix(), Seal: worseSeal(p.A.Conditions.Seal, p.B.Conditions.Seal)}
	if !(n.Floor >= 0 && n.Floor < 1) {
		return nil, fail.New(fail.Failed, "identical code differs by %.0f %% on this target", 100*n.Floor).Doing("measure the noise").Try("stop other programs on it and measure again, with more pairs")
	}
	return n, a.keepNoise(q.Target, n)
}

func worseSeal(a, b string) string {
	for _, s := range []string{profiler.Red, profiler.Amber} {
		if a == s || b == s {
			return s
		}
	}
	return a
}

func (a *App) noisePath() string { return filepath.Join(a.home, "noise.json") }

func (a *App) noises() map[string]*NoiseFloor {
	all := map[string]*NoiseFloor{}
	b, err := os.ReadFile(a.noisePath())
	if err != nil || len(b) > 1<<20 || json.Unmarshal(b, &all) != nil {
		return map[string]*NoiseFloor{} // it is measured again where it matters
	}
	return all
}

// noise is the floor of a target; nil: never measured, or on another processor.
func (a *App) noise(target, cpu string) *NoiseFloor {
	if target == "" {
		target = LocalTarget
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.noises()[target]
	if n == nil || n.CPU != cpu || !(n.Floor >= 0 && n.Floor < 1) {
		return nil
	}
	return n
}

func (a *App) keepNoise(target string, n *NoiseFloor) error {
	if target == "" {
		target = LocalTarget
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.noises()
	all[target] = n
	b, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return fail.New(fail.Internal, "%v", err)
	}
	return atomicWrite(a.noisePath(), b)
}
