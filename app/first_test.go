//go:build unix

package app

import (
	"context"
	"testing"
	"time"

	"fettle/internal/fail"
	"fettle/internal/sshtest"
	"fettle/remote/agentbin"
)

// TestFirstBoard goes from nothing to the first profile: a host key that nobody knows, a password that is typed once, a key put on the board, the
// sample measured. After that the key alone is enough, and the board is the first that is proposed.
func TestFirstBoard(t *testing.T) {
	if _, err := agentbin.For(localArch()); err != nil {
		t.Skip("no agent is built in: make agents")
	}
	t.Setenv("SSH_AUTH_SOCK", "")
	t.Setenv("HOME", t.TempDir())
	s := sshtest.Start(t, sshtest.Options{Password: "raspberry"})
	a := open(t)
	typed, keys := 0, 0
	asks := Asks{
		HostKey:  func(context.Context, HostKeyQuestion) (bool, error) { keys++; return true, nil },
		Password: func(context.Context, string, string) (string, error) { typed++; return "raspberry", nil },
	}
	begin := time.Now()
	f, err := a.AddBoard(t.Context(), Target{Name: "bar", Address: "ssh://pi@" + s.Addr}, FirstOptions{InstallKey: true, Profile: true}, asks)
	if err != nil {
		t.Fatal(err)
	}
	if typed != 1 || keys != 1 {
		t.Errorf("the password was asked for %d times, the host key %d times", typed, keys)
	}
	if took := time.Since(begin); f.TotalNs > took.Nanoseconds() || f.AddNs+f.KeyNs+f.ProfileNs > f.TotalNs || f.ProfileNs <= 0 || f.P50Ns == nil {
		t.Errorf("%+v after %v", f, took)
	}
	t.Logf("first profile after %.1f s: add %.1f, key %.1f, profile %.1f", float64(f.TotalNs)/1e9, float64(f.AddNs)/1e9, float64(f.KeyNs)/1e9, float64(f.ProfileNs)/1e9)
	nobody := Asks{HostKey: func(context.Context, HostKeyQuestion) (bool, error) { return false, nil }}
	if _, err := a.TargetFacts(t.Context(), "bar", nobody); err != nil {
		t.Errorf("with the key alone: %v", err)
	}
	list, _ := a.Discover(t.Context(), 0)
	if len(list) == 0 || list[0].Added != "bar" || list[0].Used < begin.Unix() {
		t.Errorf("proposed: %+v", list)
	}
	// control: without the key the password is needed
	if err := a.keepTarget(Target{Name: "bare", Address: "ssh://pi@" + s.Addr}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.TargetFacts(t.Context(), "bare", nobody); !fail.Is(err, fail.Denied) {
		t.Errorf("control: %v", err)
	}
}
