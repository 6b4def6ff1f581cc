// Package deploy is the desk's side of a board: it reaches it over SSH, puts the agent there, and then deploys,
// runs and measures models through it. This computer is a board too, with the same agent over a pipe.
//
//	c, err := deploy.Dial(ctx, deploy.Spec{Name: "bar", Address: "ssh://pi@bar.local"}, deploy.Options{Home: home, Ask: ask})
//	if err != nil {
//		return err
//	}
//	defer c.Close()
//	facts, err := c.Facts(ctx)
//	b, err := bundle.FromBytes("net", file)
//	receipt, err := c.Push(ctx, b, progress)
//	tr, err := c.Profile(ctx, deploy.Deployed("net"), deploy.NewProfileOptions(), live)
//
// Every step has a time limit, and every error says what to do. A cut connection loses nothing that arrived: Dial and
// Push again send only what is missing, and the deployment before stays until the new one is whole.
//
// It knows no window and keeps no list of boards. Start reading at Dial, Local and Conn.
package deploy

import (
	"context"
	"errors"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"fettle/internal/fail"
	"fettle/internal/sandbox"
	"fettle/internal/task"
	"fettle/remote/agentbin"
	"fettle/remote/board"
	"fettle/remote/bundle"
	"fettle/remote/sshx"
	"fettle/remote/wire"
)

// Spec says which board.
type Spec struct {
	Name     string   // what the user calls it; errors and traces carry it
	Address  string   // ssh://user@host:port, user@host, or a Host of ~/.ssh/config
	Identity []string // private key files, before those of the configuration; none anywhere: the usual ones in ~/.ssh
	Jump     string   // hosts to go through, as ProxyJump writes them; "" leaves it to the configuration
}

// Question is an unknown host key that somebody must accept.
type Question struct {
	Host        string // host:port
	KeyType     string // ssh-ed25519
	Fingerprint string // SHA256:…
}

// Options say how to log in. Only Home is needed.
type Options struct {
	Home   string // Fettle's folder; accepted host keys are kept in it, the user's own file is never written
	SSHDir string // "" is ~/.ssh: its config, known_hosts and keys are read
	Accept string // fingerprint to accept without a question, as SHA256:…

	// Ask decides about an unknown host key; nil refuses it with an error that shows the fingerprint. A changed key is
	// never asked about.
	Ask func(ctx context.Context, q Question) (accept bool, err error)
	// Password and Passphrase are asked when they are needed; nil: not tried.
	Password   func(ctx context.Context, user, host string) (string, error)
	Passphrase func(ctx context.Context, file string) (string, error)
	AgentSock  string // socket of an ssh agent; "" is $SSH_AUTH_SOCK, "none" is none

	Progress task.Progress // of copying the agent; may be nil
	Key      *bundle.Key   // signs what is deployed; nil: unsigned, which only boards without a known key take
	SSH      sshx.Options  // time limits and the dialler; the rest of it is set here

	agents func(arch string) (*agentbin.Agent, error) // nil is agentbin.For; tests have agents of their own
	answer time.Duration                              // how long a new agent may take to say hello, 0: 10 s
}

// Conn is a board with its agent running. Several goroutines may use it; measurements wait for nobody but refuse to
// overlap.
type Conn struct {
	name  string
	again func(ctx context.Context) (*session, error) // connects once more; nil: it cannot be
	mu    sync.Mutex
	*session
	key     *bundle.Key
	used    int64  // largest number of a signature that is known to be used on the board
	lease   *Lease // that this desk holds, nil: none
	waiting string // who asked for the board meanwhile
}

// session is one connection with its agent. A Conn has another after a cut.
type session struct {
	wire   *wire.Client
	hello  wire.Hello
	place  place
	ssh    *sshx.Client     // nil for this computer
	proc   *sandbox.Process // nil for a board
	stderr func() string
}

// now is the connection of now.
func (c *Conn) now() *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session
}

func (c *Conn) link() *wire.Client { return c.now().wire }

// Dial logs in, puts the agent there if this very one is not there yet, and starts it.
//
// Errors: Unreachable (no answer in time), Denied (host key, login, or no folder to write), NoSpace, Unsupported (no
// agent for the processor), NotFound (this program carries no agents).
func Dial(ctx context.Context, spec Spec, o Options) (*Conn, error) {
	where := fail.Where{Board: spec.Name}
	target, opt, err := o.login(spec)
	if err != nil {
		return nil, fail.In(err, "reach the board", where)
	}
	find := o.agents
	if find == nil {
		find = agentbin.For
	}
	connect := func(ctx context.Context) (*session, error) {
		client, err := sshx.Dial(ctx, target, opt)
		if err != nil {
			return nil, fail.In(err, "reach the board", where)
		}
		s, err := begin(ctx, client, find, o)
		var mute *unanswered
		if errors.As(err, &mute) {
			client.Close() // it waits for the agent that does not answer
			if client, err = sshx.Dial(ctx, target, opt); err != nil {
				return nil, fail.In(err, "reach the board", where)
			}
			s, err = mute.revert(ctx, client)
		}
		if err != nil {
			client.Close()
			return nil, fail.In(err, "start the agent", where)
		}
		return s, nil
	}
	s, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	return &Conn{name: spec.Name, session: s, again: connect, key: o.Key}, nil
}

// login gathers what is known of a board from the user's SSH files.
func (o Options) login(spec Spec) (sshx.Target, sshx.Options, error) {
	opt := o.SSH
	dir, home := o.SSHDir, ""
	if h, err := os.UserHomeDir(); err == nil {
		home = h
		if dir == "" {
			dir = filepath.Join(h, ".ssh")
		}
	}
	if o.Home == "" {
		return sshx.Target{}, opt, fail.New(fail.Internal, "deploy.Dial was called without a home folder")
	}
	name := ""
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	cfg, err := sshx.ReadConfig(filepath.Join(dir, "config"), home)
	if err != nil {
		return sshx.Target{}, opt, err
	}
	t, err := sshx.ParseTarget(spec.Address, cfg, name)
	if err != nil {
		return t, opt, err
	}
	if spec.Jump != "" {
		if err := t.Through(spec.Jump, cfg, name); err != nil {
			return t, opt, err
		}
	}
	usual := sshx.DefaultIdentities(dir)
	t.Identity = append(append([]string(nil), spec.Identity...), t.Identity...)
	for _, hop := range append([]*sshx.Target{&t}, pointers(t.Jump)...) {
		if len(hop.Identity) == 0 {
			hop.Identity = usual
		}
	}
	opt.Keys = sshx.NewHostKeys(filepath.Join(o.Home, "known_hosts"), filepath.Join(dir, "known_hosts"), filepath.Join(dir, "known_hosts2"), "/etc/ssh/ssh_known_hosts")
	opt.Password, opt.Passphrase = o.Password, o.Passphrase
	switch opt.AgentSock = o.AgentSock; opt.AgentSock {
	case "":
		opt.AgentSock = os.Getenv("SSH_AUTH_SOCK")
	case "none":
		opt.AgentSock = ""
	}
	opt.Ask = o.ask()
	return t, opt, nil
}

func pointers(hops []sshx.Target) []*sshx.Target {
	out := make([]*sshx.Target, len(hops))
	for i := range hops {
		out[i] = &hops[i]
	}
	return out
}

func (o Options) ask() sshx.AskHostKey {
	if o.Accept != "" {
		return sshx.AcceptFingerprint(o.Accept)
	}
	if o.Ask == nil {
		return nil
	}
	return func(ctx context.Context, k sshx.HostKey) error {
		yes, err := o.Ask(ctx, Question{k.Host, k.Kind, k.Fingerprint})
		if err == nil && !yes {
			err = fail.New(fail.Denied, "the host key %s of %s was not accepted", k.Fingerprint, k.Host).Try("compare it with the board's own: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")
		}
		return err
	}
}

// Forget removes the host key that was accepted for a board, for one that was installed anew. What the user's own
// known_hosts says stays.
func Forget(spec Spec, o Options) error {
	t, opt, err := o.login(spec)
	if err != nil {
		return fail.In(err, "forget the host key", fail.Where{Board: spec.Name})
	}
	return fail.In(opt.Keys.Forget(t.Addr()), "forget the host key", fail.Where{Board: spec.Name})
}

// attach speaks with an agent that was started on rw. want is the SHA-256 that it has to have, "" for any.
func attach(ctx context.Context, rw io.ReadWriteCloser, want string) (*session, error) {
	return attachIn(ctx, rw, want, wire.DefaultLimits())
}

func attachIn(ctx context.Context, rw io.ReadWriteCloser, want string, lim wire.Limits) (*session, error) {
	w, err := wire.NewClient(ctx, rw, lim)
	if err != nil {
		return nil, err
	}
	c := &session{wire: w, stderr: func() string { return "" }}
	err = w.Do(ctx, wire.VerbHello, nil, &c.hello)
	if err == nil {
		err = c.hello.Check()
	}
	if err == nil && (c.hello.Last < 0 || c.hello.Last >= bundle.MaxNumber || len(c.hello.Board) > 64) {
		err = fail.New(fail.Corrupt, "the agent has counted to %d", c.hello.Last)
	}
	if err == nil && want != "" && c.hello.SHA256 != want {
		err = fail.New(fail.Corrupt, "the agent on the board is %.12s, this program's is %.12s", c.hello.SHA256, want)
	}
	if err != nil {
		w.Close()
		return nil, err
	}
	return c, nil
}

// Name is what the user calls the board.
func (c *Conn) Name() string { return c.name }

// Agent says which agent answers: its version, hash and store.
func (c *Conn) Agent() wire.Hello { return c.now().hello }

// Notes are what a user should know of how the agent lies on the board, with what to do.
func (c *Conn) Notes() []string { return c.now().place.notes }

// Facts asks what the board is and what state it is in. board.Doctor makes rows with fixes of it.
func (c *Conn) Facts(ctx context.Context) (*board.Facts, error) { return c.facts(ctx, wire.FactsAsk{}) }

// FactsAndSpeed also measures how fast the board's memory and storage are: a few megabytes are written and read.
func (c *Conn) FactsAndSpeed(ctx context.Context) (*board.Facts, error) {
	return c.facts(ctx, wire.FactsAsk{Storage: true, Memory: true})
}

func (c *Conn) facts(ctx context.Context, q wire.FactsAsk) (*board.Facts, error) {
	var f board.Facts
	begin := time.Now()
	if err := c.link().Do(ctx, wire.VerbFacts, q, &f); err != nil {
		return nil, c.because(err, "ask for facts")
	}
	// the board looked at its clock when it had all the rest, just before the answer travelled
	if took := time.Since(begin).Nanoseconds(); f.NowNs > 0 {
		f.Clock = &board.Clock{AheadNs: f.NowNs - time.Now().UnixNano(), WithinNs: took}
	} else {
		f.Absent = append(f.Absent, "clock error: an agent of before does not say what time it has")
	}
	f.Clean()
	return &f, nil
}

// because adds the board, and why its connection ended where that is known better than by who noticed.
func (c *Conn) because(err error, what string) error {
	if err == nil {
		return nil
	}
	if e := fail.From(err); e.Where.Board == "" && (e.Kind == fail.Unreachable || e.Kind == fail.Corrupt) {
		if s := c.now(); s.ssh != nil && s.ssh.Err() != nil {
			err = s.ssh.Err()
		} else if said := firstLine(s.stderr()); said != "" {
			err = e.Try("the agent said: %s; %s", said, e.Fix)
		}
	}
	return fail.In(err, what, fail.Where{Board: c.name})
}

// firstLine is the first line of what a board said, fit for a terminal.
func firstLine(s string) string {
	s = board.Printable(strings.TrimSpace(s))
	if len(s) > 300 {
		s = s[:300]
	}
	return s
}

// Allow lets the owner of a public key log in from now on; it reports whether the key was new there. On this computer there is
// nothing to do.
func (c *Conn) Allow(ctx context.Context, public string) (bool, error) {
	s := c.now().ssh
	if s == nil {
		return false, nil
	}
	added, err := s.Allow(ctx, public)
	return added, c.because(err, "install a key")
}

// Close ends the agent and the connection. The agent's program and the deployments stay.
func (c *Conn) Close() error { return c.now().close() }

func (s *session) close() error {
	err := s.wire.Close()
	if s.proc != nil {
		_ = s.proc.Wait() // it was told to end by its input's end
	}
	if s.ssh != nil {
		if e := s.ssh.Close(); err == nil {
			err = e
		}
	}
	return err
}
