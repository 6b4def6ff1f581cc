package sshx

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"fettle/internal/fail"
	"fettle/internal/sshtest"
)

// quick keeps bad peers short: what takes 15 s in the product takes a moment here.
func quick(keys *HostKeys) Options {
	return Options{Keys: keys, Connect: 600 * time.Millisecond, Step: 800 * time.Millisecond, Keepalive: 200 * time.Millisecond}
}

func target(s *sshtest.Server) Target {
	return Target{User: "pi", Host: "127.0.0.1", Port: s.Port(), Identity: []string{s.Key}}
}

func accept(context.Context, HostKey) error { return nil }

func newKeys(t *testing.T) *HostKeys { return NewHostKeys(filepath.Join(t.TempDir(), "own")) }

func TestRun(t *testing.T) {
	s := sshtest.Start(t, sshtest.Options{})
	o := quick(newKeys(t))
	o.Ask = accept
	c, err := Dial(t.Context(), target(s), o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, words := range [][]string{{"a"}, {"it's", `"two words"`, "$HOME", "a\nb", "*", `\`, "-x", ""}} {
		r, err := c.Run(t.Context(), nil, append([]string{"printf", "%s|"}, words...)...)
		if err != nil || string(r.Stdout) != strings.Join(words, "|")+"|" {
			t.Errorf("the words %q arrive as %q (%v)", words, r.Stdout, err)
		}
	}
	r, err := c.Run(t.Context(), strings.NewReader(strings.Repeat("x", 3<<20)), "sh", "-c", "wc -c; echo no >&2; exit 7")
	if err != nil || strings.TrimSpace(string(r.Stdout)) != "3145728" || r.Exit != 7 || strings.TrimSpace(r.Stderr) != "no" {
		t.Errorf("got %q, %q, exit %d, %v", r.Stdout, r.Stderr, r.Exit, err)
	}
	if _, err := c.Run(t.Context(), nil, "head", "-c", "3000000", "/dev/zero"); !fail.Is(err, fail.TooBig) {
		t.Errorf("endless output gives %v", err)
	}
}

// TestHostKeys is the table of known_hosts: what is written there before, what the server shows, and what must happen.
func TestHostKeys(t *testing.T) {
	ed, other, ec, rsa, ca := sshtest.NewKey(t, "ed25519"), sshtest.NewKey(t, "ed25519"), sshtest.NewKey(t, "ecdsa"), sshtest.NewKey(t, "rsa"), sshtest.NewKey(t, "ed25519")
	pub := func(k ssh.Signer) string { return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k.PublicKey()))) }
	certified := func(k ssh.Signer, host string, until time.Time) ssh.Signer {
		c := &ssh.Certificate{Key: k.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: []string{host}, ValidBefore: uint64(until.Unix())}
		if err := c.SignCert(strings.NewReader(strings.Repeat("r", 1<<10)), ca); err != nil {
			t.Fatal(err)
		}
		s, err := ssh.NewCertSigner(c, k)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	good := certified(ed, "127.0.0.1", time.Now().Add(time.Hour))
	const yes, asked = fail.Kind(""), fail.Kind("asked")
	cases := []struct {
		name  string
		lines string // HOST stands for [127.0.0.1]:port
		shows []ssh.Signer
		want  fail.Kind
		says  string
	}{
		{"unknown", "", []ssh.Signer{ed}, asked, "not known"},
		{"known", "HOST " + pub(ed), []ssh.Signer{ed}, yes, ""},
		{"known among others", "# a comment\n\nnonsense\nelsewhere " + pub(other) + "\nHOST " + pub(ed) + " comment", []ssh.Signer{ed}, yes, ""},
		{"changed", "HOST " + pub(other), []ssh.Signer{ed}, fail.Denied, "has changed"},
		{"changed to another kind", "HOST " + pub(rsa), []ssh.Signer{ed}, fail.Denied, "has changed"},
		{"three keys, ed25519 known", "HOST " + pub(ed), []ssh.Signer{rsa, ec, ed}, yes, ""},
		{"three keys, ecdsa known", "HOST " + pub(ec), []ssh.Signer{rsa, ec, ed}, yes, ""},
		{"three keys, rsa known", "HOST " + pub(rsa), []ssh.Signer{ed, ec, rsa}, yes, ""},
		{"three keys, all known", "HOST " + pub(rsa) + "\nHOST " + pub(ed) + "\nHOST " + pub(ec), []ssh.Signer{ed, ec, rsa}, yes, ""},
		{"three keys, the known one changed", "HOST " + pub(other), []ssh.Signer{rsa, ec, ed}, fail.Denied, "has changed"},
		{"revoked", "@revoked * " + pub(ed) + "\nHOST " + pub(ed), []ssh.Signer{ed}, fail.Denied, "revoked"},
		{"revoked for the host without port", "@revoked 127.0.0.1 " + pub(ed) + "\nHOST " + pub(ed), []ssh.Signer{ed}, fail.Denied, "revoked"},
		{"a revoked line that cannot be read", "@revoked * ssh-ed25519 nonsense\nHOST " + pub(ed), []ssh.Signer{ed}, fail.Invalid, "revokes"},
		{"known without port", "127.0.0.1 " + pub(ed), []ssh.Signer{ed}, yes, ""},
		{"another server on the usual port", "127.0.0.1 " + pub(rsa), []ssh.Signer{ed}, asked, "not known"},
		{"wildcard", "[127.*]:* " + pub(ed), []ssh.Signer{ed}, yes, ""},
		{"negated wildcard", "[127.*]:*,!HOST " + pub(ed), []ssh.Signer{ed}, asked, "not known"},
		{"certificate", "@cert-authority HOST " + pub(ca), []ssh.Signer{good}, yes, ""},
		{"certificate before a known key", "@cert-authority HOST " + pub(ca) + "\nHOST " + pub(other), []ssh.Signer{good}, yes, ""},
		{"certificate of nobody known", "", []ssh.Signer{good}, asked, "not known"},
		{"certificate of nobody known around a known key", "HOST " + pub(ed), []ssh.Signer{good, ed}, yes, ""},
		{"certificate that ended", "@cert-authority HOST " + pub(ca), []ssh.Signer{certified(ed, "127.0.0.1", time.Now().Add(-time.Hour))}, fail.Denied, "not accepted"},
		{"certificate for another host", "@cert-authority HOST " + pub(ca), []ssh.Signer{certified(ed, "other", time.Now().Add(time.Hour))}, fail.Denied, "not accepted"},
		{"certificate of a revoked authority", "@cert-authority HOST " + pub(ca) + "\n@revoked * " + pub(ca), []ssh.Signer{good}, fail.Denied, "revoked"},
		{"plain key where an authority is known", "@cert-authority HOST " + pub(ca), []ssh.Signer{ed}, asked, "not known"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := sshtest.Start(t, sshtest.Options{HostKeys: c.shows})
			users := filepath.Join(t.TempDir(), "known_hosts")
			text := strings.ReplaceAll(c.lines, "HOST", "[127.0.0.1]:"+strings.TrimPrefix(s.Addr, "127.0.0.1:"))
			if err := os.WriteFile(users, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			own := filepath.Join(t.TempDir(), "own")
			conn, err := Dial(t.Context(), target(s), quick(NewHostKeys(own, users)))
			want := c.want
			var unknown *UnknownHostKey
			if want == asked {
				want = fail.Denied
				if !errors.As(err, &unknown) {
					t.Fatalf("an unknown key gives %v", err)
				}
			}
			if fail.KindOf(err) != want || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v, want %q that says %q", err, want, c.says)
			}
			if err == nil {
				conn.Close()
			} else if fail.From(err).Fix == "" {
				t.Errorf("it does not say what to do: %v", err)
			}
			if s.Logins() > 0 && err != nil {
				t.Error("it logged in to a server whose key was refused")
			}
			if c.want != asked {
				if err == nil {
					return
				}
				// a hard stop stays one when somebody says yes
				o := quick(NewHostKeys(own, users))
				o.Ask = func(context.Context, HostKey) error { t.Error("it asked about a key that is refused"); return nil }
				if conn, err := Dial(t.Context(), target(s), o); err == nil {
					conn.Close()
					t.Error("and went on")
				}
				return
			}
			questions := 0
			o := quick(NewHostKeys(own, users))
			o.Ask = func(_ context.Context, k HostKey) error {
				questions++
				if k.Host != s.Addr || k.Fingerprint != unknown.Key.Fingerprint {
					t.Errorf("it asks about %+v", k)
				}
				return nil
			}
			for range 2 { // once, then never again
				conn, err := Dial(t.Context(), target(s), o)
				if err != nil {
					t.Fatal(err)
				}
				conn.Close()
			}
			if questions != 1 {
				t.Errorf("it asked %d times", questions)
			}
			if b, _ := os.ReadFile(users); string(b) != text {
				t.Error("the user's file was written")
			}
		})
	}
}

func TestAcceptFingerprint(t *testing.T) {
	s := sshtest.Start(t, sshtest.Options{})
	o := quick(newKeys(t))
	o.Ask = AcceptFingerprint("SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	_, err := Dial(t.Context(), target(s), o)
	if !fail.Is(err, fail.Denied) || s.Logins() > 0 {
		t.Fatalf("a wrong fingerprint gives %v after %d logins", err, s.Logins())
	}
	o.Ask = nil
	_, err = Dial(t.Context(), target(s), o)
	var u *UnknownHostKey
	if !errors.As(err, &u) {
		t.Fatal(err)
	}
	o.Ask = AcceptFingerprint(u.Key.Fingerprint)
	c, err := Dial(t.Context(), target(s), o)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	// the board is installed anew: a hard stop until the old key is forgotten
	s.SetHostKeys(sshtest.NewKey(t, "ed25519"))
	o.Ask = accept
	var changed *ChangedHostKey
	if _, err := Dial(t.Context(), target(s), o); !errors.As(err, &changed) || len(changed.Known) != 1 {
		t.Fatalf("a changed key gives %v", err)
	}
	if err := o.Keys.Forget(s.Addr); err != nil {
		t.Fatal(err)
	}
	if c, err = Dial(t.Context(), target(s), o); err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// A person who compares a fingerprint is slower than any time limit of a connection.
func TestAskTakesItsTime(t *testing.T) {
	s := sshtest.Start(t, sshtest.Options{Password: "secret", NoKeys: true})
	o := quick(newKeys(t))
	slow := func() { time.Sleep(o.Connect + 300*time.Millisecond) }
	o.Ask = func(context.Context, HostKey) error { slow(); return nil }
	o.Password = func(context.Context, string, string) (string, error) { slow(); return "secret", nil }
	tg := target(s)
	tg.Identity = nil
	c, err := Dial(t.Context(), tg, o)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestLogin(t *testing.T) {
	dir := t.TempDir()
	locked, stranger := filepath.Join(dir, "id_locked"), filepath.Join(dir, "id_stranger")
	sshtest.WriteKey(t, stranger, "")
	sshtest.WriteKey(t, locked, "open sesame")
	password := func(p string) func(context.Context, string, string) (string, error) {
		return func(context.Context, string, string) (string, error) { return p, nil }
	}
	cases := []struct {
		name   string
		server sshtest.Options
		change func(*Target, *Options)
		want   fail.Kind
	}{
		{"key", sshtest.Options{}, func(*Target, *Options) {}, ""},
		{"a stranger's key", sshtest.Options{}, func(t *Target, _ *Options) { t.Identity = []string{stranger} }, fail.Denied},
		{"the second key is right", sshtest.Options{}, func(t *Target, _ *Options) { t.Identity = append([]string{stranger}, t.Identity...) }, ""},
		{"no such key file", sshtest.Options{}, func(t *Target, _ *Options) { t.Identity = []string{filepath.Join(dir, "none")} }, fail.NotFound},
		{"nothing to log in with", sshtest.Options{}, func(t *Target, _ *Options) { t.Identity = nil }, fail.Denied},
		{"password", sshtest.Options{Password: "right", NoKeys: true}, func(_ *Target, o *Options) { o.Password = password("right") }, ""},
		{"wrong password", sshtest.Options{Password: "right", NoKeys: true}, func(_ *Target, o *Options) { o.Password = password("wrong") }, fail.Denied},
		{"encrypted key without a passphrase", sshtest.Options{}, func(t *Target, _ *Options) { t.Identity = []string{locked} }, fail.Denied},
		{"encrypted key, wrong passphrase", sshtest.Options{}, func(t *Target, o *Options) {
			t.Identity = []string{locked}
			o.Passphrase = func(context.Context, string) (string, error) { return "shut", nil }
		}, fail.Denied},
		{"encrypted key that the board does not know", sshtest.Options{}, func(t *Target, o *Options) {
			t.Identity = []string{locked}
			o.Passphrase = func(context.Context, string) (string, error) { return "open sesame", nil }
		}, fail.Denied},
		{"nobody may log in", sshtest.Options{NoKeys: true}, func(*Target, *Options) {}, fail.Denied},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := sshtest.Start(t, c.server)
			tg, o := target(s), quick(newKeys(t))
			o.Ask = accept
			c.change(&tg, &o)
			conn, err := Dial(t.Context(), tg, o)
			if fail.KindOf(err) != c.want {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if err == nil {
				conn.Close()
			} else if fail.From(err).Fix == "" {
				t.Errorf("it does not say what to do: %v", err)
			}
		})
	}
}

func TestAgent(t *testing.T) {
	s := sshtest.Start(t, sshtest.Options{})
	raw, err := os.ReadFile(s.Key)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParseRawPrivateKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	sock := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(ring, c); c.Close() }()
		}
	}()
	stranger := filepath.Join(t.TempDir(), "id")
	sshtest.WriteKey(t, stranger, "")
	for _, c := range []struct {
		name     string
		identity []string
		only     bool
		want     fail.Kind
	}{
		{"any key of the agent", nil, false, ""},
		{"only a named key, which is in the agent", []string{s.Key}, true, ""},
		{"only a named key, which is not", []string{stranger}, true, fail.Denied},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := quick(newKeys(t))
			o.Ask, o.AgentSock = accept, sock
			tg := target(s)
			tg.Identity, tg.OnlyThem = c.identity, c.only
			conn, err := Dial(t.Context(), tg, o)
			if fail.KindOf(err) != c.want {
				t.Fatal(err)
			}
			if err == nil {
				conn.Close()
			}
		})
	}
}

func TestJump(t *testing.T) {
	far := sshtest.Start(t, sshtest.Options{})
	middle := sshtest.Start(t, sshtest.Options{Jump: true})
	near := sshtest.Start(t, sshtest.Options{Jump: true})
	keys := newKeys(t)
	o := quick(keys)
	var asked []string
	o.Ask = func(_ context.Context, k HostKey) error { asked = append(asked, k.Host); return nil }
	tg := target(far)
	tg.Jump = []Target{target(near), target(middle)}
	c, err := Dial(t.Context(), tg, o)
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Run(t.Context(), nil, "echo", "far")
	if err != nil || string(r.Stdout) != "far\n" {
		t.Errorf("got %q, %v", r.Stdout, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if want := []string{near.Addr, middle.Addr, far.Addr}; strings.Join(asked, " ") != strings.Join(want, " ") {
		t.Errorf("asked about %v, want each hop: %v", asked, want)
	}
	// a wrong key on a hop in the middle is a hard stop
	middle.SetHostKeys(sshtest.NewKey(t, "ed25519"))
	before := far.Logins()
	if _, err := Dial(t.Context(), tg, o); !fail.Is(err, fail.Denied) || fail.From(err).Where.Board != middle.Addr {
		t.Errorf("got %v", err)
	}
	if far.Logins() != before {
		t.Error("it went through a hop whose key had changed")
	}
}
