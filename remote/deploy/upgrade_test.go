//go:build unix

package deploy

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fettle/internal/cas"
	"fettle/internal/fail"
	"fettle/internal/sshtest"
	"fettle/remote/agentbin"
	"fettle/remote/bundle"
	"fettle/remote/wire"
)

// scriptAgent is an agent that is a shell script: its hash is right, and serve does what is said.
func scriptAgent(t *testing.T, serve string) func(string) (*agentbin.Agent, error) {
	t.Helper()
	text := []byte("#!/bin/sh\ncase $1 in hash) sha256sum \"$0\" | cut -d' ' -f1 ;; serve) " + serve + " ;; esac\n")
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return func(string) (*agentbin.Agent, error) {
		return &agentbin.Agent{Arch: "test", SHA256: string(cas.Of(text)), Size: int64(len(text)), Gzip: z.Bytes()}, nil
	}
}

// TestUpgrade puts new agents on a board that do not answer, in several ways: each is taken off again and the one from before
// serves, with what was deployed. Without one from before the error says so and nothing stays.
func TestUpgrade(t *testing.T) {
	bad := []struct{ name, serve string }{
		{"says nothing", "sleep 60"},
		{"ends at once", "exit 3"},
		{"says something else", "echo hello; sleep 60"},
		{"says hello and then nothing", `printf '\000\001fettle-agent\002\n'; sleep 60`},
	}
	for _, k := range bad {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			s := sshtest.Start(t, sshtest.Options{})
			spec, o := desk(t, s)
			o.answer = 700 * time.Millisecond
			good := o.agents
			o.agents = scriptAgent(t, k.serve)
			if _, err := Dial(t.Context(), spec, o); err == nil || fail.Is(err, fail.Internal) || !strings.Contains(err.Error(), "no agent from before answers") {
				t.Errorf("the first agent of a board: %v", err)
			}
			if left := files(t, s.Home); len(left) != 0 {
				t.Errorf("%v is left", left)
			}
			o.answer, o.agents = 10*time.Second, good
			c, err := Dial(t.Context(), spec, o)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Push(t.Context(), net(t, "net", 0), nil); err != nil {
				t.Fatal(err)
			}
			c.Close()
			o.answer, o.agents = 700*time.Millisecond, scriptAgent(t, k.serve)
			if c, err = Dial(t.Context(), spec, o); err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if n := c.Notes(); len(n) != 1 || !strings.Contains(n[0], "was taken off the board again") {
				t.Errorf("notes %q", n)
			}
			if list, err := c.List(t.Context()); err != nil || len(list) != 1 {
				t.Errorf("deployments %+v, %v", list, err)
			}
			if p, _ := filepath.Glob(filepath.Join(s.Home, ".fettle", "bin", "*")); len(p) != 1 {
				t.Errorf("programs %v", p)
			}
		})
	}
}

// TestSkew talks with agents of two releases before to one after, and beyond. Those within work; the others are refused by
// name.
func TestSkew(t *testing.T) {
	for v := wire.Version - 2; v <= wire.Version+1; v++ {
		t.Run(fmt.Sprintf("version %d", v), func(t *testing.T) {
			c, err := Local(t.Context(), "here", LocalOptions{Home: t.TempDir(), Self: []string{os.Args[0]}, Env: append(os.Environ(), fmt.Sprint("FETTLE_SPEAK=", v)), Key: newKey(t)})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			ctx := t.Context()
			for i := range byte(2) {
				if r, err := c.Push(ctx, net(t, "net", i), nil); err != nil || r.Version != int(i)+1 {
					t.Fatalf("push: %+v, %v", r, err)
				}
			}
			l, err := c.Acquire(ctx, Refuse, nil)
			if err != nil {
				t.Fatal(err)
			}
			po := NewProfileOptions()
			po.Launches, po.Runs = 1, 3
			if tr, err := c.Profile(ctx, FromBundle(net(t, "other", 0)), po, nil); err != nil || !tr.Complete() {
				t.Errorf("profile: %v", err)
			}
			if err := l.Release(ctx); err != nil {
				t.Error(err)
			}
			if d, err := c.Rollback(ctx, "net"); err != nil || d.Version != 1 {
				t.Errorf("rollback: %+v, %v", d, err)
			}
			b := healthy(t, 0, bundle.Health{Tolerance: 1e-3}, samples(t, 1, nil))
			if _, err := c.Push(ctx, b, nil); (err == nil) != (v >= 3) || err != nil && !fail.Is(err, fail.Unsupported) {
				t.Errorf("a health rule: %v", err)
			}
			if err := c.RemoveAgent(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	for _, h := range []wire.Hello{{Protocol: wire.Oldest - 1, Version: "0.0.1"}, {Protocol: wire.Version + 3, Oldest: wire.Version + 1, Version: "9.9.9"}} {
		if err := h.Check(); !fail.Is(err, fail.Unsupported) || !strings.Contains(err.Error(), h.Version) || fail.From(err).Fix == "" {
			t.Errorf("%+v: %v", h, err)
		}
	}
}
