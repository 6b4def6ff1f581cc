package agent

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"fettle/internal/cas"
	"fettle/internal/fail"
	"fettle/model"
	"fettle/remote/bundle"
	"fettle/remote/wire"
)

// States of a version that is being tried. None of them is active: a cut in any leaves the version before, deploying again
// goes on, and rolling back takes the trial away.
const (
	trialStaged = "staged" // everything is on the board
	trialHealth = "health" // its outputs are compared with the host's
	trialP99    = "p99"    // its latency is measured
	trialShadow = "shadow" // it runs beside the active version
	trialVerify = "verify" // it is active and looked at once more
)

type trial struct {
	Version int    `json:"version"`
	State   string `json:"state"`
}

func (s *Store) trialPath(name string) string { return filepath.Join(s.deployment(name), "trial") }

func (s *Store) trial(name string) (trial, bool) {
	var t trial
	b, err := os.ReadFile(s.trialPath(name))
	if errors.Is(err, fs.ErrNotExist) {
		return t, false
	}
	if err != nil || json.Unmarshal(b, &t) != nil {
		return trial{State: "broken"}, true
	}
	return t, true
}

func (s *Store) setTrial(name string, t trial) error {
	b, err := json.Marshal(t)
	if err != nil {
		return fail.New(fail.Internal, "%v", err)
	}
	return cas.WriteFile(s.disk, s.trialPath(name), b)
}

// dropTrial takes a version away that never became active. What stays after an error is taken away the next time.
func (s *Store) dropTrial(name string) {
	t, ok := s.trial(name)
	if !ok {
		return
	}
	if cur, err := s.current(name); (err == nil || fail.Is(err, fail.NotFound)) && t.Version > 0 && t.Version != cur.Version {
		_ = s.disk.Remove(s.manifestPath(name, t.Version))
		_ = s.disk.Remove(s.signaturePath(name, t.Version))
	}
	_ = s.disk.Remove(s.trialPath(name))
}

// install deploys with a trial: the version is stored, has to pass its health rule, runs beside the active one for as long
// as was asked, and then becomes the active one. Once active it is read and run again as any user would; if that fails, the
// version before comes back.
func (a *Agent) install(ctx context.Context, r *wire.Request) (any, error) {
	var q wire.Install
	if err := r.Head(&q); err != nil {
		return nil, err
	}
	if q.ShadowNS < 0 || q.ShadowNS > int64(24*time.Hour) {
		return nil, fail.New(fail.Usage, "a shadow run of %v", time.Duration(q.ShadowNS))
	}
	report := &wire.HealthReport{}
	tried := false
	d, err := a.store.install(q.Manifest, bundle.Signature(q.Vouch), func(m *bundle.Manifest, version, before int) error {
		tried = true
		t := &trying{a: a, ctx: ctx, r: r, m: m, version: version, report: report, holder: q.Holder}
		return fail.In(t.run(before, time.Duration(q.ShadowNS)), "try version "+strconv.Itoa(version)+" of "+m.Name, fail.Where{})
	})
	if err != nil || !tried {
		return d, err
	}
	if report.Samples > 0 {
		d.Health = report
	}
	if err := a.verifyActive(ctx, r, d); err != nil {
		return nil, a.takeBack(d, err)
	}
	return d, nil
}

// verifyActive runs what the name stands for now.
func (a *Agent) verifyActive(ctx context.Context, r *wire.Request, d wire.Deployment) error {
	m, err := a.store.Active(d.Name)
	if err != nil || m.Health == nil {
		return err
	}
	if err := r.Item(wire.Trying{State: trialVerify}); err != nil {
		return nil // the desk is gone: the version stands, it passed
	}
	t := &trying{a: a, ctx: ctx, r: r, m: m, version: d.Version, report: &wire.HealthReport{}}
	w, err := a.openWorker(ctx, m)
	if err != nil {
		return err
	}
	defer w.close()
	_, err = t.samples(w)
	if ctx.Err() != nil {
		return nil // as above
	}
	return err
}

// takeBack rolls back by itself and says so.
func (a *Agent) takeBack(d wire.Deployment, cause error) error {
	e := fail.From(cause)
	back, err := a.store.Rollback(d.Name)
	switch {
	case fail.Is(err, fail.NotFound):
		return fail.New(e.Kind, "%s; there is no version before %d to go back to", e.Why, d.Version).At(e.Where).Try("deploy a version that works")
	case err != nil:
		return errors.Join(cause, err)
	}
	return fail.New(fail.Failed, "version %d failed once it was active: %s; version %d is active again", d.Version, e.Why, back.Version).At(e.Where).
		Doing("deploy %s", d.Name).Try("mend the model, or the rule that it broke")
}

// trying is one trial.
type trying struct {
	a       *Agent
	ctx     context.Context
	r       *wire.Request
	m       *bundle.Manifest
	version int
	holder  string
	report  *wire.HealthReport
}

func (t *trying) enter(state string) error {
	if err := t.a.store.setTrial(t.m.Name, trial{t.version, state}); err != nil {
		return err
	}
	return t.r.Item(wire.Trying{State: state})
}

func (t *trying) run(before int, shadow time.Duration) error {
	h := t.m.Health
	if h == nil {
		if shadow > 0 {
			return fail.New(fail.Usage, "a shadow run needs bundled samples").Try("deploy with samples")
		}
		return nil
	}
	if err := t.enter(trialHealth); err != nil {
		return err
	}
	w, err := t.a.openWorker(t.ctx, t.m)
	if err != nil {
		return err
	}
	defer w.close()
	in, err := t.samples(w)
	if err != nil {
		return err
	}
	t.report.Samples, t.report.Tolerance = len(h.Samples), h.Tolerance
	if h.MaxP99Ns == 0 && shadow == 0 {
		return nil
	}
	lock, _, err := t.a.leases.use(0, t.holder) // a latency is a measurement as any other
	if err != nil {
		return err
	}
	defer lock.Close()
	if h.MaxP99Ns > 0 {
		if err := t.p99(w, in); err != nil {
			return err
		}
	}
	if shadow > 0 && before > 0 {
		return t.shadow(w, in, before, shadow)
	}
	return nil
}

// input is the tensors of a sample, as they go to a child.
type input struct {
	heads []wire.Input
	data  []byte
}

// samples compares the outputs of every sample with those of the host.
func (t *trying) samples(w *worker) ([]input, error) {
	var all []input
	for i, s := range t.m.Health.Samples {
		var in input
		for _, b := range s.Inputs {
			data, err := t.a.store.Blob(b)
			if err != nil {
				return nil, err
			}
			in.heads = append(in.heads, wire.Input{Name: b.Name, Len: b.Len})
			in.data = append(in.data, data...)
		}
		all = append(all, in)
		heads, raw, _, err := w.infer(t.ctx, in.heads, in.data)
		if err != nil {
			return nil, w.died(err)
		}
		got, err := tensorsOf(heads, raw)
		if err != nil {
			return nil, err
		}
		for _, b := range s.Outputs {
			data, err := t.a.store.Blob(b)
			if err != nil {
				return nil, err
			}
			want, err := tensorsOf([]wire.Input{{Name: b.Name, Len: b.Len}}, data)
			if err != nil {
				return nil, err
			}
			worst, err := deviation(got[b.Name], want[b.Name])
			if err != nil {
				return nil, fail.In(err, "", fail.Where{Tensor: b.Name})
			}
			t.report.MaxError = math.Max(t.report.MaxError, worst)
			if worst > t.m.Health.Tolerance {
				return nil, fail.New(fail.Failed, "sample %d: it differs from the host's by %.3g of its largest value, %.3g is allowed", i, worst, t.m.Health.Tolerance).
					At(fail.Where{Tensor: b.Name}).Try("compare the layers: fettle diff; the board may lack what the model needs, or its memory is bad")
			}
		}
		if err := t.r.Item(wire.Trying{State: trialHealth, Done: int64(i + 1), Total: int64(len(t.m.Health.Samples))}); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// deviation is the largest |got - want| as a share of the largest |want|; values that are no numbers have to be in the same
// places. Whole numbers and words are equal or 1 apart.
func deviation(got, want *model.Tensor) (float64, error) {
	if got == nil || got.DType != want.DType || !slices.Equal(got.Shape, want.Shape) {
		what := "absent"
		if got != nil {
			what = model.TypeOf(got).String()
		}
		return 0, fail.New(fail.Failed, "it is %s, the host's is %s", what, model.TypeOf(want)).Try("deploy the model for this board")
	}
	if !want.DType.Float() {
		if string(got.Raw) != string(want.Raw) || !slices.Equal(got.Strs, want.Strs) {
			return 1, nil
		}
		return 0, nil
	}
	worst, largest := 0.0, 0.0
	for i := range want.Len() {
		x, y := got.Float64At(i), want.Float64At(i)
		if math.IsNaN(y) || math.IsInf(y, 0) {
			if !(math.IsNaN(x) && math.IsNaN(y)) && x != y {
				return 1, nil
			}
			continue
		}
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return math.MaxFloat64, nil
		}
		worst, largest = math.Max(worst, math.Abs(x-y)), math.Max(largest, math.Abs(y))
	}
	if largest == 0 {
		return worst, nil
	}
	return worst / largest, nil
}

// Fewer inferences than leastRuns say nothing of a p99.
const leastRuns = 1000

func (t *trying) p99(w *worker, in []input) error {
	if err := t.enter(trialP99); err != nil {
		return err
	}
	runs := t.m.Health.Runs
	if runs == 0 {
		runs = leastRuns
	}
	for i := range 3 * len(in) { // warm
		if _, _, _, err := w.infer(t.ctx, in[i%len(in)].heads, in[i%len(in)].data); err != nil {
			return w.died(err)
		}
	}
	ns := make([]int64, 0, runs)
	for i := range runs {
		_, _, d, err := w.infer(t.ctx, in[i%len(in)].heads, in[i%len(in)].data)
		if err != nil {
			return w.died(err)
		}
		ns = append(ns, d.Nanoseconds())
		if i%50 == 49 {
			if err := t.r.Item(wire.Trying{State: trialP99, Done: int64(i + 1), Total: int64(runs)}); err != nil {
				return err
			}
		}
	}
	t.report.Runs, t.report.P50Ns, t.report.P99Ns = runs, quantile(ns, 0.5), quantile(ns, 0.99)
	return t.within(t.report.P99Ns)
}

func (t *trying) within(p99 int64) error {
	if most := t.m.Health.MaxP99Ns; most > 0 && p99 > most {
		return fail.New(fail.Failed, "its p99 is %v, %v is allowed", time.Duration(p99), time.Duration(most)).Try("make the model faster, cool the board, or allow more: --max-p99")
	}
	return nil
}

func quantile(ns []int64, q float64) int64 {
	s := slices.Sorted(slices.Values(ns))
	return s[min(len(s)-1, int(math.Ceil(q*float64(len(s))))-1)]
}

// shadow runs the active version and the new one in turns on the samples. The new one answers nobody yet.
func (t *trying) shadow(w *worker, in []input, before int, limit time.Duration) error {
	if err := t.enter(trialShadow); err != nil {
		return err
	}
	old, err := t.a.store.version(t.m.Name, before)
	if err != nil {
		return fail.In(err, "run the version before", fail.Where{})
	}
	ref, err := t.a.openWorker(t.ctx, old)
	if err != nil {
		return fail.In(err, "run the version before", fail.Where{})
	}
	defer ref.close()
	same := 0
	var news, olds []int64
	start, told := time.Now(), time.Now()
	for i := 0; time.Since(start) < limit || i < len(in); i++ {
		x := in[i%len(in)]
		first, second := w, ref
		if i/len(in)%2 == 1 {
			first, second = ref, w
		}
		ha, ra, da, err := first.infer(t.ctx, x.heads, x.data)
		if err != nil {
			return first.died(err)
		}
		hb, rb, db, err := second.infer(t.ctx, x.heads, x.data)
		if err != nil {
			return second.died(err)
		}
		if first == ref {
			da, db = db, da
		}
		news, olds = append(news, da.Nanoseconds()), append(olds, db.Nanoseconds())
		agrees, err := agree(ha, ra, hb, rb)
		if err != nil {
			return err
		}
		if agrees {
			same++
		}
		if time.Since(told) > 500*time.Millisecond {
			told = time.Now()
			if err := t.r.Item(wire.Trying{State: trialShadow, Done: time.Since(start).Milliseconds(), Total: limit.Milliseconds()}); err != nil {
				return err
			}
		}
	}
	t.report.Shadow, t.report.Agree, t.report.BeforeP50 = len(news), float64(same)/float64(len(news)), quantile(olds, 0.5)
	if t.report.P50Ns == 0 {
		t.report.P50Ns = quantile(news, 0.5)
	}
	if t.report.Agree < t.m.Health.MinAgree {
		return fail.New(fail.Failed, "it agrees with version %d in %.2f %% of %d inferences, %.2f %% are asked for", before, 100*t.report.Agree, len(news), 100*t.m.Health.MinAgree).
			Try("see what changed: fettle diff; or ask for less: --min-agree")
	}
	if len(news) >= leastRuns {
		return t.within(quantile(news, 0.99))
	}
	return nil
}

// agree reports whether the largest value of the first output lies at the same place.
func agree(ha []wire.Input, ra []byte, hb []wire.Input, rb []byte) (bool, error) {
	a, err := tensorsOf(ha[:min(1, len(ha))], ra)
	if err != nil {
		return false, err
	}
	b, err := tensorsOf(hb[:min(1, len(hb))], rb)
	if err != nil || len(ha) == 0 || len(hb) == 0 {
		return false, err
	}
	x, y := a[ha[0].Name], b[hb[0].Name]
	return x.Len() == y.Len() && largest(x) == largest(y), nil
}

func largest(t *model.Tensor) int {
	best := 0
	for i := range t.Len() {
		if t.Float64At(i) > t.Float64At(best) {
			best = i
		}
	}
	return best
}
