//go:build unix

package app

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"
)

const learnIn = "FETTLE_TEST_LEARN"

// TestLearnChild learns until it is killed; TestLearnKilled starts it.
func TestLearnChild(t *testing.T) {
	home := os.Getenv(learnIn)
	if home == "" {
		t.Skip("it is started by TestLearnKilled")
	}
	a, err := Open(Options{Home: home, Self: []string{os.Args[0], "agent"}, Own: true})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = a.Learn(context.Background(), LearnRequest{Budget: time.Hour})
}

// A run that was killed loses at most the network that it was at: the next one goes on with what was kept.
func TestLearnKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("-short was asked for: nothing is measured")
	}
	home := t.TempDir()
	a, err := Open(Options{Home: home, Self: []string{os.Args[0], "agent"}, Own: true})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLearnChild$")
	child.Env = append(os.Environ(), learnIn+"="+home)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	for {
		if l := a.latencyTable("", 1); l != nil && l.Probes >= 2 {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("it ended before it was killed: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	before := a.latencyTable("", 1)
	if before == nil || before.Probes < 2 {
		t.Fatalf("after the kill: %+v", before)
	}
	l, err := a.Learn(t.Context(), LearnRequest{ProfileRequest: ProfileRequest{Manner: Wait}, Budget: leastBudget})
	if err != nil {
		t.Fatal(err)
	}
	if l.Here < 1 || l.Nets != before.Probes+l.Here || len(l.Table.Points) <= len(before.Points) {
		t.Errorf("%d networks, %d of them now, %d before", l.Nets, l.Here, before.Probes)
	}
	for i, x := range before.Points {
		if x.Ns != l.Table.Points[i].Ns {
			t.Fatalf("row %d was changed", i)
		}
	}
}
