package deploy

import (
	"strings"
	"testing"

	"fettle/internal/fail"
	"fettle/remote/wire"
)

// TestReplayOverTheWire records what a desk says when it deploys, and has a desk without a key say it again: nothing is written. Desks that
// sign at the same time come to terms.
func TestReplayOverTheWire(t *testing.T) {
	home := t.TempDir()
	ctx := t.Context()
	ada := local(t, home)
	ada.key = newKey(t)
	one, two := net(t, "net", 0), net(t, "net", 1)
	signed, err := ada.signed(one)
	if err != nil {
		t.Fatal(err)
	}
	var old wire.Vouch
	if err := ada.vouched(ctx, signed.Manifest, func(v wire.Vouch) error {
		old, signed.Vouch = v, v
		if _, err := ada.send(ctx, one, signed, nil); err != nil {
			return err
		}
		return ada.link().Do(ctx, wire.VerbCommit, signed, nil)
	}); err != nil {
		t.Fatal(err)
	}
	if old.Number == 0 || old.Board == "" {
		t.Fatalf("the deployment was signed without a number: %+v", old)
	}
	if _, err := ada.Push(ctx, two, nil); err != nil {
		t.Fatal(err)
	}
	before := listing(t, home)
	eve := local(t, home)
	for name, do := range map[string]func() error{
		"offer":   func() error { return eve.link().Do(ctx, wire.VerbOffer, signed, nil) },
		"commit":  func() error { return eve.link().Do(ctx, wire.VerbCommit, signed, nil) },
		"install": func() error { return eve.link().Do(ctx, wire.VerbInstall, wire.Install{Signed: signed}, nil) },
		"rollback": func() error {
			_, err := eve.Rollback(ctx, "net")
			return err
		},
	} {
		if err := do(); !fail.Is(err, fail.Denied) {
			t.Errorf("%s: %v", name, err)
		}
		if after := listing(t, home); strings.Join(after, "\n") != strings.Join(before, "\n") {
			t.Errorf("%s wrote something: %v, before %v", name, after, before)
		}
	}
	if d, err := eve.List(ctx); err != nil || len(d) != 1 || d[0].Version != 2 {
		t.Errorf("after all that: %+v, %v", d, err)
	}
	if d, err := ada.Rollback(ctx, "net"); err != nil || d.Version != 1 {
		t.Errorf("the user's own rollback: %+v, %v", d, err)
	}
	// desks of one user, each of which signs under the next number that it knows: all but the first know an old one
	var desks [3]*Conn
	for i := range desks {
		desks[i] = local(t, home)
		desks[i].key = ada.key
	}
	for i, bob := range desks {
		if _, err := bob.Push(ctx, net(t, "net"+string(rune('a'+i)), byte(i)), nil); err != nil {
			t.Errorf("desk %d: %v", i, err)
		}
	}
}
