package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fettle/internal/cas"
	"fettle/internal/fail"
	"fettle/remote/bundle"
	"fettle/remote/wire"
)

// recorded is what somebody may have kept of what a desk said to a board.
type recorded struct {
	name, say string // of the refusal
	again     func(s *Store) error
}

// history is a store with two versions behind it, a key let in and out again, and what was said meanwhile.
func history(t *testing.T, dir string) (*Store, []recorded) {
	t.Helper()
	s, err := OpenStore(dir, calm())
	if err != nil {
		t.Fatal(err)
	}
	other, err := OpenStore(dir+"-other", calm())
	if err != nil {
		t.Fatal(err)
	}
	theirs, _ := other.counted()
	board, _ := s.counted()
	n := int64(0)
	next := func(words []byte) wire.Vouch { n++; return wire.Vouch(testKey().SignFor(board, n, words)) }
	commit := func(raw []byte, v wire.Vouch) error {
		_, err := s.Commit(raw, bundle.Signature(v))
		return err
	}
	put := func(b *bundle.Bundle) []byte {
		for i, c := range b.Chunks {
			for _, to := range []*Store{s, other} {
				if err := to.chunks.Put(c.SHA256, c.Len, bytes.NewReader(b.Bytes(i))); err != nil {
					t.Fatal(err)
				}
			}
		}
		raw, _, err := b.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	one, two := put(version(t, 1)), put(version(t, 2))
	first := next(one)
	must(commit(one, first))
	second := next(two)
	must(commit(two, second))
	back := wire.Back{Named: wire.Named{Name: "net"}, Vouch: next(bundle.RollbackWords("net"))}
	_, err = s.RollbackFor(back)
	must(err)
	third := next(two)
	must(commit(two, third))
	eve, err := bundle.NewKey()
	must(err)
	in := wire.Trust{Change: eve.Public(), Vouch: next(bundle.TrustWords(eve.Public(), false))}
	_, err = s.Trust(in)
	must(err)
	out := wire.Trust{Change: eve.Public(), Drop: true, Vouch: next(bundle.TrustWords(eve.Public(), true))}
	_, err = s.Trust(out)
	must(err)
	altered := first
	altered.Number = n + 1
	return s, []recorded{
		{"an older manifest", "it is an old one", func(s *Store) error { return commit(one, first) }},
		{"the one before the active one", "it is an old one", func(s *Store) error { return commit(two, second) }},
		{"an older manifest under a newer number", "was altered", func(s *Store) error { return commit(one, altered) }},
		{"a manifest that was signed to measure with", "has no number", func(s *Store) error { return commit(one, wire.Vouch(testKey().Sign(one))) }},
		{"a manifest for another board", "another board", func(s *Store) error {
			return commit(one, wire.Vouch(testKey().SignFor(theirs, n+1, one)))
		}},
		{"a rollback", "it is an old one", func(s *Store) error { _, err := s.RollbackFor(back); return err }},
		{"a rollback that nobody signed", "is not signed", func(s *Store) error {
			_, err := s.RollbackFor(wire.Back{Named: wire.Named{Name: "net"}})
			return err
		}},
		{"letting a key in", "it is an old one", func(s *Store) error { _, err := s.Trust(in); return err }},
		{"a rollback of a manifest's signature", "was altered", func(s *Store) error {
			_, err := s.RollbackFor(wire.Back{Named: wire.Named{Name: "net"}, Vouch: wire.Vouch(testKey().SignFor(board, n+1, two))})
			return err
		}},
	}
}

// state is what the board would run, and whom it trusts.
func state(s *Store) string {
	m, err := s.Active("net")
	if err != nil {
		return err.Error()
	}
	keys, err := s.Trusted()
	return fmt.Sprint(m.SHA256, keys, err)
}

// TestReplay brings to a board what was said to it before, or to another one: all is refused by name and changes nothing. Then the user
// rolls back and deploys the old model again, signed anew.
func TestReplay(t *testing.T) {
	s, all := history(t, filepath.Join(t.TempDir(), "store"))
	before := state(s)
	for _, r := range all {
		err := r.again(s)
		if !fail.Is(err, fail.Denied) || !strings.Contains(err.Error(), r.say) || fail.From(err).Fix == "" {
			t.Errorf("%s: %v", r.name, err)
		}
		if now := state(s); now != before {
			t.Fatalf("%s changed the board from %s to %s", r.name, before, now)
		}
	}
	board, last := s.counted()
	if d, err := s.RollbackFor(wire.Back{Named: wire.Named{Name: "net"}, Vouch: wire.Vouch(testKey().SignFor(board, last+1, bundle.RollbackWords("net")))}); err != nil || d.Version == 0 {
		t.Errorf("the user's own rollback: %+v, %v", d, err)
	}
	raw, _, err := version(t, 1).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(raw, testKey().SignFor(board, last+2, raw)); err != nil {
		t.Errorf("the old model, signed anew: %v", err)
	}
}

// TestReplayControl does the same with a store that keeps no count: old words have to change it, or the test above shows nothing.
func TestReplayControl(t *testing.T) {
	taken := 0
	for i := range 9 {
		s, all := history(t, filepath.Join(t.TempDir(), "store"))
		s.forgetful = true
		before := state(s)
		if all[i].again(s) == nil && state(s) != before {
			taken++
		}
	}
	if taken < 4 {
		t.Errorf("%d old words changed a board that keeps no count", taken)
	}
}

// TestCount is about the file of the count: a damaged one stops the board from taking anything, and no cut gives a number back.
func TestCount(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s, _ := history(t, dir)
	board, last := s.counted()
	if again, err := OpenStore(dir, cas.OS{}); err != nil {
		t.Fatal(err)
	} else if b, l := again.counted(); b != board || l != last || len(b) != 32 || l < 6 {
		t.Errorf("opened again: %s %d, before %s %d", b, l, board, last)
	}
	raw, _, err := version(t, 1).Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"cut": `{"board":"a`, "negative": `{"board":"a","last":-1}`, "no board": `{"last":1}`, "huge": `{"board":"a","last":9999999999999}`} {
		if err := os.WriteFile(s.countPath(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Commit(raw, testKey().SignFor(board, last+1, raw)); !fail.Is(err, fail.Corrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b, err := json.Marshal(tally{board, last})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.countPath(), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(raw, testKey().SignFor(board, last+1, raw)); err != nil {
		t.Errorf("mended: %v", err)
	}
}

// TestUnreadableTrial is a board whose power was cut after a deployment: of the trial, which had ended, a file without content came back. It
// is no trial, and does not stand in the way of a rollback.
func TestUnreadableTrial(t *testing.T) {
	s, _ := history(t, filepath.Join(t.TempDir(), "store"))
	if err := os.WriteFile(s.trialPath("net"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := s.List()
	if err != nil || len(list) != 1 || list[0].Trial != "" {
		t.Errorf("listed: %+v, %v", list, err)
	}
	before := list[0].Version
	if d, err := s.Rollback("net"); err != nil || d.Version >= before {
		t.Errorf("rolled back from %d: %+v, %v", before, d, err)
	}
}
