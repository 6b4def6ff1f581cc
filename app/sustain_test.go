package app

import (
	"context"
	"testing"
	"time"

	"fettle/internal/fail"
)

// TestSustain measures the sample for a second and a half: several launches, in order, with the three numbers.
func TestSustain(t *testing.T) {
	a := open(t)
	m, err := a.Sample("")
	if err != nil {
		t.Fatal(err)
	}
	s, err := a.Sustain(t.Context(), ProfileRequest{Model: m, Name: "sample", Threads: 1, Runs: 5, Launches: 1}, 1500*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Points) < 2 || s.ColdNs <= 0 || s.WarmNs <= 0 || s.SteadyNs <= 0 || s.Why == "" || s.Points[len(s.Points)-1].AfterS < 1.5 {
		t.Errorf("%+v", s)
	}
	for i := 1; i < len(s.Points); i++ {
		if s.Points[i].AfterS <= s.Points[i-1].AfterS {
			t.Errorf("point %d is not after the one before", i)
		}
	}
	if _, err := a.Sustain(t.Context(), ProfileRequest{Model: m, Name: "sample", Runs: 5}, 0); !fail.Is(err, fail.Usage) {
		t.Errorf("no time: %v", err)
	}
}

// TestSustainCut is called off after its second launch: what arrived is given, and says that it is not whole.
func TestSustainCut(t *testing.T) {
	a := open(t)
	m, err := a.Sample("")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	s, err := a.Sustain(ctx, ProfileRequest{Model: m, Name: "sample", Threads: 1, Runs: 5, Progress: func(_, _ int64, what string) {
		if what != "measure over time" {
			return
		}
		if n++; n == 2 {
			cancel()
		}
	}}, time.Hour)
	if err != nil || len(s.Points) != 2 || s.Cut == "" || s.WarmNs <= 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := a.Sustain(t.Context(), ProfileRequest{Model: m, Name: "sample", Runs: 5, Every: time.Hour}, time.Minute); !fail.Is(err, fail.Usage) {
		t.Errorf("one launch an hour for a minute: %v", err)
	}
}
