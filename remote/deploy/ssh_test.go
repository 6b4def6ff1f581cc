//go:build unix

package deploy

import (
	"bytes"
	"compress/gzip"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fettle/internal/cas"
	"fettle/internal/fail"
	"fettle/internal/sshtest"
	"fettle/remote/agentbin"
	"fettle/remote/sshx"
	"fettle/remote/wire"
)

// thisAgent is the test's program as the agent of every architecture.
var thisAgent = sync.OnceValues(func() (*agentbin.Agent, error) {
	b, err := os.ReadFile(os.Args[0])
	if err != nil {
		return nil, err
	}
	var z bytes.Buffer
	w, err := gzip.NewWriterLevel(&z, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return &agentbin.Agent{Arch: "test", SHA256: string(cas.Of(b)), Size: int64(len(b)), Gzip: z.Bytes()}, nil
})

// desk is how the tests log in to a test server.
func desk(t *testing.T, s *sshtest.Server) (Spec, Options) {
	t.Helper()
	return Spec{Name: "bar", Address: "ssh://pi@" + s.Addr, Identity: []string{s.Key}},
		Options{Home: t.TempDir(), SSHDir: t.TempDir(), AgentSock: "none",
			Ask:    func(context.Context, Question) (bool, error) { return true, nil },
			SSH:    sshx.Options{Connect: 5 * time.Second, Step: 5 * time.Second},
			agents: func(string) (*agentbin.Agent, error) { return thisAgent() }}
}

// files lists what lies under a folder.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, _ os.DirEntry, err error) error {
		if p != dir {
			out = append(out, strings.TrimPrefix(p, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestOverSSH is the main job over SSH, from the question about the host key to the removal of everything.
func TestOverSSH(t *testing.T) {
	s := sshtest.Start(t, sshtest.Options{})
	spec, o := desk(t, s)
	var asked []Question
	o.Ask = func(_ context.Context, q Question) (bool, error) { asked = append(asked, q); return true, nil }
	copied := int64(0)
	o.Progress = func(done, _ int64, _ string) { copied = done }
	c, err := Dial(t.Context(), spec, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(asked) != 1 || asked[0].Host != s.Addr || !strings.HasPrefix(asked[0].Fingerprint, "SHA256:") {
		t.Errorf("asked: %+v", asked)
	}
	if a, _ := thisAgent(); copied != int64(len(a.Gzip)) {
		t.Errorf("%d bytes of the agent were copied, of %d", copied, len(a.Gzip))
	}
	if _, err := c.Push(t.Context(), net(t, "net", 0), nil); err != nil {
		t.Fatal(err)
	}
	po := NewProfileOptions()
	po.Launches, po.Runs = 1, 3
	if tr, err := c.Profile(t.Context(), Deployed("net"), po, nil); err != nil || !tr.Complete() || tr.Target.Name != "bar" {
		t.Errorf("profile: %v", err)
	}
	if len(c.Notes()) != 0 || !strings.HasPrefix(c.Agent().Store, s.Home) {
		t.Errorf("notes %q, store %s", c.Notes(), c.Agent().Store)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}

	// the second time nothing is asked and nothing copied
	asked, copied = nil, 0
	if c, err = Dial(t.Context(), spec, o); err != nil {
		t.Fatal(err)
	}
	if len(asked) != 0 || copied != 0 {
		t.Errorf("the second time: asked %v, copied %d bytes", asked, copied)
	}
	if list, err := c.List(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("list %+v, %v", list, err)
	}
	c.Close()

	// a damaged program is put there again
	programs, _ := filepath.Glob(filepath.Join(s.Home, ".fettle", "bin", "agent-*"))
	if len(programs) != 1 {
		t.Fatalf("programs: %v", programs)
	}
	os.Remove(programs[0]) // the agent of before may still be ending
	if err := os.WriteFile(programs[0], []byte("damaged"), 0o700); err != nil {
		t.Fatal(err)
	}
	if c, err = Dial(t.Context(), spec, o); err != nil || copied == 0 {
		t.Fatalf("with a damaged program: %v, %d bytes copied", err, copied)
	}
	if err := os.WriteFile(filepath.Join(s.Home, ".fettle", ".try-385"), nil, 0o700); err != nil { // as a reset in the middle of a look leaves it
		t.Fatal(err)
	}
	if err := c.RemoveAgent(t.Context()); err != nil {
		t.Error(err)
	}
	if left := files(t, s.Home); len(left) != 0 {
		t.Errorf("removal leaves %v", left)
	}
}

// TestBoards installs the agent on boards that lack something.
func TestBoards(t *testing.T) {
	tools := func(without ...string) []string { // a PATH with a few links
		dir := t.TempDir()
		for _, n := range strings.Fields("sh cat chmod gzip id ls mkdir mv printf rm rmdir tail uname") {
			skip := false
			for _, w := range without {
				skip = skip || n == w
			}
			for _, at := range []string{"/bin/", "/usr/bin/"} {
				if _, err := os.Stat(at + n); err == nil && !skip {
					_ = os.Symlink(at+n, filepath.Join(dir, n)) // the second place finds it there
				}
			}
		}
		return []string{"PATH=" + dir}
	}
	fake := func(env []string, name, script string) []string {
		dir := strings.TrimPrefix(env[0], "PATH=")
		os.Remove(filepath.Join(dir, name))
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		return env
	}
	cases := []struct {
		name string
		env  []string
		home func(home string)
		want fail.Kind
		says string
		at   string // where the store is, HOME for the home folder
	}{
		{"few tools", tools(), nil, "", "", "HOME/.fettle/store"},
		{"no gzip", tools("gzip"), nil, "", "", "HOME/.fettle/store"},
		{"an XDG folder", tools(), func(h string) { os.MkdirAll(filepath.Join(h, ".local", "share"), 0o700) }, "", "", "HOME/.local/share/fettle/store"},
		{"a folder of somebody's link", tools(), func(h string) { os.Symlink("/tmp", filepath.Join(h, ".fettle")) }, "", "", "/var/tmp/"},
		{"another processor", fake(tools(), "uname", "[ \"$1\" = -s ] && echo Linux || echo mips"), nil, fail.Unsupported, "no agent for Linux on mips", ""},
		{"another system", fake(tools(), "uname", "echo FreeBSD"), nil, fail.Unsupported, "FreeBSD", ""},
		{"a full disk", fake(fake(tools(), "gzip", "cat >/dev/null; echo 'gzip: write error: No space left on device' >&2; exit 1"), "cat", "exit 1"), nil, fail.NoSpace, "disk is full", ""},
		{"the program is changed on its way", fake(tools(), "gzip", "printf '#!/bin/sh\\necho wrong\\n'"), nil, fail.Corrupt, "other bytes", ""},
		{"the program does not start", fake(tools(), "gzip", "printf '#!/bin/sh\\nexit 1\\n'"), nil, fail.Denied, "does not start", ""},
		{"no shell worth the name", []string{"PATH=/nowhere"}, nil, fail.Unsupported, "POSIX", ""},
	}
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			s := sshtest.Start(t, sshtest.Options{Env: k.env})
			if k.home != nil {
				k.home(s.Home)
			}
			before := len(files(t, s.Home))
			spec, o := desk(t, s)
			start := time.Now()
			c, err := Dial(t.Context(), spec, o)
			if fail.KindOf(err) != k.want || err != nil && (!strings.Contains(err.Error(), k.says) || fail.From(err).Fix == "" || fail.From(err).Where.Board != "bar") {
				t.Fatalf("got %v, want %q that says %q", err, k.want, k.says)
			}
			if err != nil {
				if d := time.Since(start); d > 20*time.Second {
					t.Errorf("it took %v", d)
				}
				if n := len(files(t, s.Home)); n != before {
					t.Errorf("left over: %v", files(t, s.Home))
				}
				return
			}
			if want := strings.ReplaceAll(k.at, "HOME", s.Home); !strings.HasPrefix(c.Agent().Store, want) {
				t.Errorf("the store is %s, want %s", c.Agent().Store, want)
			}
			if err := c.RemoveAgent(t.Context()); err != nil {
				t.Error(err)
			}
			if n := len(files(t, s.Home)); n != before {
				t.Errorf("left over: %v", files(t, s.Home))
			}
		})
	}
}

// TestCutUpload cuts the connection while chunks travel: the version before stays, and the next push sends the rest.
func TestCutUpload(t *testing.T) {
	s := sshtest.Start(t, sshtest.Options{})
	spec, o := desk(t, s)
	c, err := Dial(t.Context(), spec, o)
	if err != nil {
		t.Fatal(err)
	}
	one, big := net(t, "net", 0), random(t, "net", 40<<20)
	if _, err := c.Push(t.Context(), one, nil); err != nil {
		t.Fatal(err)
	}
	_, err = c.Push(t.Context(), big, func(done, total int64, _ string) {
		if done > total*6/10 {
			s.Cut()
		}
	})
	if !fail.Is(err, fail.Unreachable) || fail.From(err).Where.Board != "bar" || fail.From(err).Fix == "" {
		t.Fatalf("a cut upload gives %v", err)
	}
	c.Close()
	if c, err = Dial(t.Context(), spec, o); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if list, err := c.List(t.Context()); err != nil || len(list) != 1 || list[0].SHA256 != string(one.SHA256) {
		t.Errorf("after the cut: %+v, %v", list, err)
	}
	r, err := c.Push(t.Context(), big, nil)
	if err != nil || r.Version != 2 || r.SHA256 != string(big.SHA256) {
		t.Fatalf("the second push: %+v, %v", r, err)
	}
	if r.Sent > big.Size*6/10 {
		t.Errorf("the second push sent %d of %d bytes", r.Sent, big.Size)
	}
}

// TestCutProfile cuts the connection in a measurement, again and again: it goes on with the same run, and what arrives is each
// sample once and in order. A board that is not there any more gives an interrupted run with what arrived.
func TestCutProfile(t *testing.T) {
	s := sshtest.Start(t, sshtest.Options{})
	spec, o := desk(t, s)
	c, err := Dial(t.Context(), spec, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { c.Close() }()
	po := NewProfileOptions()
	po.Launches, po.Runs = 2, 40
	cuts, n := 0, 0
	tr, err := c.Profile(t.Context(), FromBundle(net(t, "net", 0)), po, func(s2 Sample) {
		if s2.Kind != wire.KindWarmup {
			n++
		}
		if s2.Done != n {
			t.Errorf("sample %d came where %d was due", s2.Done, n)
		}
		if cuts < 3 && n == 30*(cuts+1) {
			cuts++
			s.Cut()
		}
	})
	if err != nil || !tr.Complete() || tr.Samples() != 80 || cuts != 3 {
		t.Fatalf("after %d cuts: %v", cuts, err)
	}
	po.Launches, po.Runs = 1, 100_000
	if _, err := c.Facts(t.Context()); err != nil { // the last cut may have come after the last sample
		if err := c.reconnect(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	c.again = nil
	defer endJobs(t, s.Home)
	tr, err = c.Profile(t.Context(), FromBundle(net(t, "net", 0)), po, func(s2 Sample) {
		if s2.Done == 40 {
			s.Stop()
		}
	})
	if !fail.Is(err, fail.Unreachable) || !strings.Contains(err.Error(), "interrupted after") || fail.From(err).Fix == "" {
		t.Errorf("got %v", err)
	}
	if tr == nil {
		t.Fatal("no trace of a cut run")
	}
	if tr.Complete() || tr.Samples() == 0 || tr.Samples() >= po.Runs {
		t.Errorf("the trace of a cut run has %d samples, complete %v", tr.Samples(), tr.Complete())
	}
}

// endJobs stops measurements that outlive their connection, so that nothing writes into a test's folder when it goes.
func endJobs(t *testing.T, home string) {
	t.Helper()
	jobs, _ := filepath.Glob(filepath.Join(home, "*", "store", "jobs", "*"))
	more, _ := filepath.Glob(filepath.Join(home, "store", "jobs", "*"))
	for _, dir := range append(jobs, more...) {
		if err := os.WriteFile(filepath.Join(dir, "stop"), nil, 0o600); err != nil {
			continue // it is gone
		}
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			b, _ := os.ReadFile(filepath.Join(dir, "events"))
			if bytes.Contains(b, []byte("\nfail ")) || bytes.Contains(b, []byte("\ndone ")) {
				break
			}
		}
	}
	time.Sleep(50 * time.Millisecond) // the process itself
}
