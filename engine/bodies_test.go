package engine_test

import (
	"context"
	"testing"
	"time"

	"fettle/engine"
	"fettle/model"
	"fettle/ops"
)

const recurrent = `g (int64[1] n, float[1, 64] x, float[4, 64] seq, bool[1] c) => (float[1, 64] h, float[A, 1, 64] all, float[1, 64] sc, float[4, 64] so, float[1, 64] p)
<float[64, 64] w = random(1, -0.2, 0.2), float[64] b = random(2), bool yes = {1}, float[1, 64] zero = fill(0)>
{
  h, all = Loop <body = body (int64 i, bool go, float[1, 64] s) => (bool keep, float[1, 64] t, float[1, 64] o) {
    keep = Identity (go)
    a = MatMul (s, w)
    d = Add (a, b)
    e = Add (d, x)
    t = Tanh (e)
    o = Mul (t, t)
  }> (n, yes, x)
  sc, so = Scan <num_scan_inputs = 1, body = step (float[1, 64] s2, float[64] v) => (float[1, 64] t2, float[64] o2) {
    a2 = MatMul (s2, w)
    t2 = Add (a2, v)
    o2 = Add (v, b)
  }> (zero, seq)
  p = If <then_branch = yes1 () => (float[1, 64] r) {
    r0 = MatMul (x, w)
    r = Relu (r0)
  }, else_branch = no () => (float[1, 64] q) {
    q = Sub (x, b)
  }> (c)
}`

// TestBodies runs Loop, Scan and If with bodies as plans of their own against the reference kernels: outer names, constant and
// not, are read, and no iteration plans anew.
func TestBodies(t *testing.T) {
	ctx := context.Background()
	m := parse(t, header+recurrent)
	for _, f := range levels(t) {
		for _, threads := range []int{1, 3} {
			p, err := engine.Compile(ctx, m, engine.Options{Threads: threads, Features: f, Verify: true})
			if err != nil {
				t.Fatal(err)
			}
			s, err := p.NewSession()
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			for run, n := range []int64{7, 1, 50} {
				in := inputs(t, m, uint64(run))
				in["n"].SetInt64(0, n)
				in["c"].SetInt64(0, n%2)
				want, err := ops.Evaluate(ctx, m, in)
				if err != nil {
					t.Fatal(err)
				}
				var first []*model.Tensor
				for range 2 {
					got, err := s.Run(ctx, in)
					if err != nil {
						t.Fatal(err)
					}
					if d, where := differ(want, got); d < 0 || d > 1e-4 {
						t.Errorf("%v, %d threads, %d iterations: off by %g: %s", f, threads, n, d, where)
					}
					if first == nil {
						first = got
					}
					if !equalBits(first, got) {
						t.Error("another run gives other bits")
					}
				}
			}
			if n := s.BodyPlans(); n != 4 { // the Loop, the Scan and both branches, once each
				t.Errorf("%d plans of subgraphs", n)
			}
		}
	}
}

// TestBodyShapes: a body whose carried value grows is planned a few times, then left to the reference kernels.
func TestBodyShapes(t *testing.T) {
	ctx := context.Background()
	m := parse(t, header+`g (int64[1] n, float[1, 200] x) => (float[A, 200] y) <bool yes = {1}>
{
  y = Loop <body = body (int64 i, bool go, float s) => (bool keep, float t) {
    keep = Identity (go)
    d = Sigmoid (s)
    t = Concat <axis = 0> (d, x)
  }> (n, yes, x)
}`)
	in := inputs(t, m, 1)
	in["n"].SetInt64(0, 40)
	want, err := ops.Evaluate(ctx, m, in)
	if err != nil {
		t.Fatal(err)
	}
	p, err := engine.Compile(ctx, m, engine.Options{Threads: 1, Features: best()})
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 3 {
		got, err := s.Run(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		if d, where := differ(want, got); d < 0 || d > 1e-5 {
			t.Errorf("off by %g: %s", d, where)
		}
	}
	if n := s.BodyPlans(); n < 2 || n > 8 {
		t.Errorf("%d plans of the body in three runs of 40 iterations", n)
	}
}

// TestBodyFails: an error in a body names what is wrong, as the reference kernels do.
func TestBodyFails(t *testing.T) {
	m := parse(t, header+`g (int64[1] n, float[1, 200] x, int64[1] k) => (float[A] y) <bool yes = {1}>
{
  y = Loop <body = body (int64 i, bool go, float s) => (bool keep, float t) {
    keep = Identity (go)
    d = Sigmoid (s)
    t = Gather <axis = 1> (d, k)
  }> (n, yes, x)
}`)
	in := inputs(t, m, 1)
	in["n"].SetInt64(0, 3)
	in["k"].SetInt64(0, 900)
	p, err := engine.Compile(context.Background(), m, engine.Options{Threads: 1, Features: best()})
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Run(context.Background(), in); err == nil {
		t.Error("an index outside")
	}
}

// BenchmarkBody reports iterations a second of a recurrent body, planned and with reference kernels.
func BenchmarkBody(b *testing.B) {
	ctx := context.Background()
	m := parse(b, header+`g (int64[1] n, float[1, 256] x) => (float[1, 256] h) <float[256, 256] w = random(1, -0.1, 0.1), float[256] v = random(2), bool yes = {1}>
{
  h = Loop <body = body (int64 i, bool go, float[1, 256] s) => (bool keep, float[1, 256] t) {
    keep = Identity (go)
    a = MatMul (s, w)
    d = Add (a, v)
    t = Tanh (d)
  }> (n, yes, x)
}`)
	const iterations = 200
	in := inputs(b, m, 1)
	in["n"].SetInt64(0, iterations)
	p, err := engine.Compile(ctx, m, engine.Options{Threads: 1, Features: best()})
	if err != nil {
		b.Fatal(err)
	}
	s, err := p.NewSession()
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for name, run := range map[string]func() error{
		"planned":   func() error { _, err := s.Run(ctx, in); return err },
		"reference": func() error { _, err := ops.Evaluate(ctx, m, in); return err },
	} {
		b.Run(name, func(b *testing.B) {
			begin := time.Now()
			for range b.N {
				if err := run(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*iterations)/time.Since(begin).Seconds(), "iterations/s")
		})
	}
}
