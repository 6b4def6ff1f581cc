//go:build unix

// Package sshtest is an SSH server for tests: it listens on the loopback, runs commands with the shell of this
// computer, and has the faults of bad boards.
//
// Only tests import it. It is no server for anything else: it trusts whoever holds the test's key. Start reading at
// Start.
package sshtest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/crypto/ssh"

	"fettle/internal/task"
)

// Options say what the server is like. The zero value has one ed25519 host key and lets the server's own user key in.
type Options struct {
	HostKeys []ssh.Signer // shown in this order of kinds; nil: one new ed25519 key
	Password string       // "" refuses passwords
	NoKeys   bool         // refuses every key
	Jump     bool         // connects others through it
	Home     string       // HOME of commands, "" for a new folder
	Env      []string     // whole environment of commands besides HOME; nil is PATH only
	Wrap     func(net.Conn) net.Conn
	Mute     bool // after login nothing is answered
}

// Server is a running server.
type Server struct {
	Addr string // 127.0.0.1:port
	Home string
	Key  string // private key file that may log in

	opt      Options
	config   *ssh.ServerConfig
	listener net.Listener
	group    *task.Group
	mu       sync.Mutex
	conns    []net.Conn
	logins   int
}

// NewKey makes a key of a kind: ed25519, ecdsa or rsa.
func NewKey(t testing.TB, kind string) ssh.Signer {
	t.Helper()
	var key any
	var err error
	switch kind {
	case "ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case "ecdsa":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "rsa":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		t.Fatalf("no kind of key is called %s", kind)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// WriteKey makes a private key file, encrypted if there is a passphrase, with its public half beside it.
func WriteKey(t testing.TB, file, passphrase string) ssh.PublicKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(key, "test")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "test", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{file: pem.EncodeToMemory(block), file + ".pub": ssh.MarshalAuthorizedKey(s.PublicKey())} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s.PublicKey()
}

// Start runs a server until the test ends.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s := &Server{opt: o, Home: o.Home, Key: filepath.Join(t.TempDir(), "id_test")}
	if s.Home == "" {
		s.Home = t.TempDir()
	}
	user := WriteKey(t, s.Key, "")
	s.config = &ssh.ServerConfig{ServerVersion: "SSH-2.0-sshtest"}
	if !o.NoKeys {
		s.config.PublicKeyCallback = func(_ ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
			if bytes.Equal(k.Marshal(), user.Marshal()) || s.authorized(k) {
				return nil, nil
			}
			return nil, errors.New("not this key")
		}
	}
	if o.Password != "" {
		s.config.PasswordCallback = func(_ ssh.ConnMetadata, p []byte) (*ssh.Permissions, error) {
			if string(p) != o.Password {
				return nil, errors.New("not this password")
			}
			return nil, nil
		}
	}
	if o.NoKeys && o.Password == "" {
		s.config.PasswordCallback = func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) { return nil, errors.New("never") }
	}
	keys := o.HostKeys
	if keys == nil {
		keys = []ssh.Signer{NewKey(t, "ed25519")}
	}
	s.SetHostKeys(keys...)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.listener, s.Addr = l, l.Addr().String()
	s.group = task.NewGroup(context.Background())
	s.group.Go("accept", func(context.Context) error { s.accept(); return nil })
	t.Cleanup(s.stop)
	return s
}

// authorized says whether a key was put into the authorized_keys of the server's home.
func (s *Server) authorized(k ssh.PublicKey) bool {
	b, err := os.ReadFile(filepath.Join(s.Home, ".ssh", "authorized_keys"))
	if err != nil {
		return false
	}
	for len(b) > 0 {
		key, _, _, rest, err := ssh.ParseAuthorizedKey(b)
		if err != nil {
			return false
		}
		if bytes.Equal(key.Marshal(), k.Marshal()) {
			return true
		}
		b = rest
	}
	return false
}

// SetHostKeys changes the host keys for logins to come.
func (s *Server) SetHostKeys(keys ...ssh.Signer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &ssh.ServerConfig{ServerVersion: s.config.ServerVersion, PublicKeyCallback: s.config.PublicKeyCallback, PasswordCallback: s.config.PasswordCallback}
	for _, k := range keys {
		c.AddHostKey(k)
	}
	s.config = c
}

// Logins counts the logins that succeeded.
func (s *Server) Logins() int { s.mu.Lock(); defer s.mu.Unlock(); return s.logins }

// Port is the port of Addr.
func (s *Server) Port() int {
	_, p, _ := net.SplitHostPort(s.Addr)
	n, _ := strconv.Atoi(p)
	return n
}

// Cut ends all connections, as a pulled cable that is noticed.
func (s *Server) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
	s.conns = nil
}

// Stop ends the server: nobody answers any more.
func (s *Server) Stop() {
	s.listener.Close()
	s.Cut()
}

func (s *Server) stop() {
	s.listener.Close()
	s.Cut()
	_ = s.group.Wait()
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		if s.opt.Wrap != nil {
			c = s.opt.Wrap(c)
		}
		s.mu.Lock()
		s.conns = append(s.conns, c)
		cfg := s.config
		s.mu.Unlock()
		s.group.Go("serve", func(context.Context) error { s.serve(c, cfg); return nil })
	}
}

func (s *Server) serve(raw net.Conn, cfg *ssh.ServerConfig) {
	defer raw.Close()
	conn, chans, reqs, err := ssh.NewServerConn(raw, cfg)
	if err != nil {
		return
	}
	defer conn.Close()
	s.mu.Lock()
	s.logins++
	s.mu.Unlock()
	if s.opt.Mute {
		_ = conn.Wait()
		return
	}
	s.group.Go("requests", func(context.Context) error { ssh.DiscardRequests(reqs); return nil })
	for ch := range chans {
		switch {
		case ch.ChannelType() == "session":
			s.group.Go("session", func(context.Context) error { s.session(ch); return nil })
		case ch.ChannelType() == "direct-tcpip" && s.opt.Jump:
			s.group.Go("forward", func(context.Context) error { s.forward(ch); return nil })
		default:
			_ = ch.Reject(ssh.UnknownChannelType, "no") // a lost connection needs no answer
		}
	}
}

func (s *Server) forward(n ssh.NewChannel) {
	var to struct {
		Host  string
		Port  uint32
		From  string
		FPort uint32
	}
	if ssh.Unmarshal(n.ExtraData(), &to) != nil {
		return
	}
	far, err := net.Dial("tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))))
	if err != nil {
		_ = n.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	ch, reqs, err := n.Accept()
	if err != nil {
		far.Close()
		return
	}
	s.group.Go("requests", func(context.Context) error { ssh.DiscardRequests(reqs); return nil })
	s.group.Go("back", func(context.Context) error {
		_, _ = io.Copy(ch, far)
		return ch.Close()
	})
	_, _ = io.Copy(far, ch)
	far.Close()
}

func (s *Server) session(n ssh.NewChannel) {
	ch, reqs, err := n.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	for r := range reqs {
		if r.Type != "exec" {
			_ = r.Reply(false, nil)
			continue
		}
		var x struct{ Line string }
		ok := ssh.Unmarshal(r.Payload, &x) == nil
		_ = r.Reply(ok, nil)
		if ok {
			status := s.command(x.Line, ch, reqs)
			_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
		}
		return
	}
}

// command runs a line as sshd does: with the user's shell, in its own process group, which is hung up when the
// channel closes.
func (s *Server) command(line string, ch ssh.Channel, reqs <-chan *ssh.Request) uint32 {
	inR, inW, err1 := os.Pipe()
	outR, outW, err2 := os.Pipe()
	errR, errW, err3 := os.Pipe()
	if errors.Join(err1, err2, err3) != nil {
		return 255
	}
	env := s.opt.Env
	if env == nil {
		env = []string{"PATH=" + os.Getenv("PATH")}
	}
	p, err := os.StartProcess("/bin/sh", []string{"sh", "-c", line}, &os.ProcAttr{Dir: s.Home, Env: append([]string{"HOME=" + s.Home}, env...),
		Files: []*os.File{inR, outW, errW}, Sys: &syscall.SysProcAttr{Setpgid: true}})
	inR.Close()
	outW.Close()
	errW.Close()
	if err != nil {
		return 127
	}
	g := task.NewGroup(context.Background())
	g.Go("in", func(context.Context) error {
		_, _ = io.Copy(inW, ch)
		return inW.Close()
	})
	g.Go("hang up", func(context.Context) error {
		for range reqs { // ends with the channel
		}
		_ = syscall.Kill(-p.Pid, syscall.SIGHUP) // it may have ended
		return nil
	})
	out := task.NewGroup(context.Background())
	out.Go("out", func(context.Context) error { _, _ = io.Copy(ch, outR); return outR.Close() })
	out.Go("err", func(context.Context) error { _, _ = io.Copy(ch.Stderr(), errR); return errR.Close() })
	_ = out.Wait()
	st, err := p.Wait()
	if err != nil {
		return 255
	}
	return uint32(st.ExitCode())
}
