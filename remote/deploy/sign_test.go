package deploy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fettle/internal/fail"
	"fettle/remote/bundle"
	"fettle/remote/wire"
)

func newKey(t *testing.T) *bundle.Key {
	t.Helper()
	k, err := bundle.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// listing is every file under a store with its length, but for what a look at it leaves.
func listing(t *testing.T, home string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(filepath.Join(home, "store"), func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.Contains(p, "lock") {
			out = append(out, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSigned is about who may put a model on a board: its first key is kept; another one, none, or an altered manifest is
// refused by name and nothing is written; a known key lets another in.
func TestSigned(t *testing.T) {
	home := t.TempDir()
	ctx := t.Context()
	ada, eve := local(t, home), local(t, home)
	ada.key, eve.key = newKey(t), newKey(t)
	if _, err := ada.Push(ctx, net(t, "net", 0), nil); err != nil {
		t.Fatal(err)
	}
	before := listing(t, home)
	two := net(t, "net", 1)
	altered := func(c *Conn) error {
		s, err := c.signed(two)
		if err != nil {
			t.Fatal(err)
		}
		s.Manifest = []byte(strings.Replace(string(s.Manifest), `"net"`, `"nut"`, 1))
		_, err = c.send(ctx, two, s, nil)
		return c.because(err, "deploy net")
	}
	nobody := local(t, home)
	cases := []struct {
		name, say string
		do        func() error
	}{
		{"another key", "does not trust key " + eve.key.Public(), func() error { _, err := eve.Push(ctx, two, nil); return err }},
		{"another key, to measure", "does not trust key", func() error { _, err := eve.Run(ctx, FromBundle(two), How{}, nil); return err }},
		{"no signature", "is not signed", func() error { _, err := nobody.Push(ctx, two, nil); return err }},
		{"an altered manifest", "was altered", func() error { return altered(ada) }},
		{"chunks without a manifest", "of no signed manifest", func() error {
			ch := two.Chunks[0]
			u := &uploading{c: nobody, b: two}
			_, _, err := u.send(ctx, nobody.link(), []int{0}, wire.Put{Chunks: []wire.Chunk{{SHA256: string(ch.SHA256), Len: ch.Len}}}, false, ch.Len, false)
			return err
		}},
		{"trusting oneself", "does not trust key", func() error { _, err := eve.Trust(ctx, eve.key.Public(), false); return err }},
	}
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			err := k.do()
			if !fail.Is(err, fail.Denied) || !strings.Contains(err.Error(), k.say) || fail.From(err).Fix == "" {
				t.Errorf("got %v", err)
			}
			if after := listing(t, home); !slices.Equal(before, after) {
				t.Errorf("something was written: %v, before %v", after, before)
			}
		})
	}
	if _, err := ada.Trust(ctx, eve.key.Public(), false); err != nil {
		t.Fatal(err)
	}
	if r, err := eve.Push(ctx, two, nil); err != nil || r.Version != 2 {
		t.Fatalf("a key that was let in: %+v, %v", r, err)
	}
	if keys, err := ada.Trust(ctx, eve.key.Public(), true); err != nil || !slices.Equal(keys, []string{ada.key.Public()}) {
		t.Errorf("dropped: %v, %v", keys, err)
	}
	if _, err := ada.Run(ctx, Deployed("net"), How{}, nil); !fail.Is(err, fail.Denied) {
		t.Errorf("running a version of a key that is no longer trusted: %v", err)
	}
	if _, err := ada.Rollback(ctx, "net"); err != nil {
		t.Errorf("back to the version of a trusted key: %v", err)
	}
	// a manifest that was changed on the board
	file := filepath.Join(home, "store", "deployments", "net", "1.json")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(raw), `"schema":1`, `"schema":1 `, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ada.Run(ctx, Deployed("net"), How{}, nil); !fail.Is(err, fail.Denied) || !strings.Contains(err.Error(), "altered") {
		t.Errorf("a manifest that was changed on the board: %v", err)
	}
}
