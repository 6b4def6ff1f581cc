// Package agent owns the board's side: it keeps deployments, runs models and times them, and says what the board is
// like. It speaks frames on its standard input and output, listens nowhere and needs no rights.
//
// Each model runs in a child process of the agent's own program, so that a crash ends the run and not the agent. The
// package knows no SSH and no desk; runtimes are given to it. Start reading at Main.
package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"fettle/internal/cas"
	"fettle/internal/fail"
	"fettle/remote/board"
	"fettle/remote/wire"
	"fettle/runtimes"
)

// Config is what a program gives the agent that it is.
type Config struct {
	Version  string
	Runtimes []runtimes.Runtime // the first one is used where none is named
	Self     []string           // how to start this program as an agent again; nil: this program without arguments
	Root     string             // folder of /proc and /sys, "" is /
}

// Main runs the agent with the words after the program's name and gives the exit code.
//
//	serve --store DIR   answer on standard input and output
//	child               run one model for a serving agent
//	job --store DIR --id ID   measure for a serving agent, and outlive it
//	hash                print the SHA-256 of this program
//	version             print the version
func Main(cfg Config, args []string, in io.ReadCloser, out io.WriteCloser, errOut io.Writer) int {
	// a closed output must end in an error, not in a signal; an interrupt from the desk's terminal is not for us
	signal.Ignore(syscall.SIGPIPE)
	say := func(err error) int {
		fmt.Fprintln(errOut, "fettle-agent:", err)
		return fail.ExitCode(err)
	}
	verb := ""
	if len(args) > 0 {
		verb = args[0]
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	rw := stdio{in, out}
	switch verb {
	case "serve":
		flags := flag.NewFlagSet("serve", flag.ContinueOnError)
		flags.SetOutput(errOut)
		dir := flags.String("store", "", "folder of the store")
		if err := flags.Parse(args[1:]); err != nil || *dir == "" || flags.NArg() > 0 {
			return say(fail.New(fail.Usage, "serve needs --store DIR and nothing else"))
		}
		a, err := New(cfg, *dir)
		if err == nil {
			err = a.Serve(ctx, rw)
		}
		if err != nil {
			return say(err)
		}
	case "child":
		if err := wire.Serve(ctx, orphan{rw}, (&child{cfg: cfg}).handle); err != nil {
			return say(err)
		}
	case "job":
		flags := flag.NewFlagSet("job", flag.ContinueOnError)
		flags.SetOutput(errOut)
		dir, id := flags.String("store", "", "folder of the store"), flags.String("id", "", "measurement")
		if err := flags.Parse(args[1:]); err != nil || *dir == "" || flags.NArg() > 0 {
			return say(fail.New(fail.Usage, "job needs --store DIR --id ID"))
		}
		a, err := New(cfg, *dir)
		if err == nil {
			signal.Ignore(syscall.SIGHUP) // the desk may come back
			err = a.measure(ctx, *id)
		}
		if err != nil {
			return say(err)
		}
	case "hash":
		h, err := selfHash()
		if err != nil {
			return say(err)
		}
		fmt.Fprintln(out, h)
	case "version":
		fmt.Fprintln(out, cfg.Version)
	default:
		return say(fail.New(fail.Usage, "say serve, child, job, hash or version"))
	}
	return 0
}

// stdio joins input and output.
type stdio struct {
	io.Reader
	io.Writer
}

// Close closes both.
func (s stdio) Close() error {
	if c, ok := s.Reader.(io.Closer); ok {
		c.Close()
	}
	if c, ok := s.Writer.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// orphan ends the program when its input ends and it does not do so itself: a model that never comes back must not outlive
// who asked for it.
type orphan struct{ stdio }

const orphanLife = 3 * time.Second

// Read notices the end.
func (o orphan) Read(p []byte) (int, error) {
	n, err := o.stdio.Read(p)
	if err != nil {
		time.AfterFunc(orphanLife, func() { os.Exit(1) })
	}
	return n, err
}

// Agent answers one desk.
type Agent struct {
	cfg    Config
	store  *Store
	leases *leases
	dir    string
	sha256 string
}

// New opens the store in dir.
func New(cfg Config, dir string) (*Agent, error) {
	if len(cfg.Self) == 0 {
		self, err := os.Executable()
		if err != nil {
			return nil, fail.New(fail.Internal, "the agent does not find its own program: %v", err)
		}
		cfg.Self = []string{self}
	}
	if cfg.Root == "" {
		cfg.Root = "/"
	}
	store, err := OpenStore(dir, cas.OS{})
	if err != nil {
		return nil, err
	}
	sum, err := selfHash()
	if err != nil {
		return nil, err
	}
	return &Agent{cfg, store, &leases{store: store}, dir, sum}, nil
}

func selfHash() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fail.New(fail.Internal, "%v", err)
	}
	f, err := os.Open(self)
	if err != nil {
		return "", fail.New(fail.Internal, "%v", err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", fail.New(fail.Internal, "%v", err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// Serve answers on rw until it ends.
func (a *Agent) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	return wire.Serve(ctx, rw, a.handle)
}

func (a *Agent) handle(ctx context.Context, r *wire.Request) (any, error) {
	a.leases.touch()
	defer a.leases.touch()
	switch r.Verb {
	case wire.VerbHello:
		return wire.Hello{Protocol: wire.Version, Oldest: wire.Oldest, Version: a.cfg.Version, SHA256: a.sha256, Arch: runtime.GOARCH, PID: os.Getpid(), Store: a.dir}, nil
	case wire.VerbFacts:
		return a.facts(ctx), nil
	case wire.VerbHave:
		return a.have(r)
	case wire.VerbPut:
		var p wire.Put
		if err := r.Head(&p); err != nil {
			return nil, err
		}
		return a.store.Put(p.Chunks, r)
	case wire.VerbCommit:
		var raw rawJSON
		if err := r.Head(&raw); err != nil {
			return nil, err
		}
		return a.store.Commit(raw)
	case wire.VerbList:
		return a.store.List()
	case wire.VerbRollback, wire.VerbRemove:
		var n wire.Named
		if err := r.Head(&n); err != nil {
			return nil, err
		}
		if r.Verb == wire.VerbRemove {
			return a.store.Remove(n.Name)
		}
		return a.store.Rollback(n.Name)
	case wire.VerbRemoveAll:
		a.stopJobs(ctx)
		return a.store.RemoveAll()
	case wire.VerbRun:
		return a.run(ctx, r)
	case wire.VerbProfile:
		return a.profile(ctx, r)
	case wire.VerbAttach:
		return a.attach(ctx, r)
	case wire.VerbLease:
		var q wire.LeaseAsk
		if err := r.Head(&q); err != nil {
			return nil, err
		}
		return a.lease(ctx, q)
	}
	return nil, fail.New(fail.Unsupported, "this agent does not know %.40q", r.Verb).Try("use agent and desk of the same release")
}

// rawJSON keeps the bytes of a value as they came: the hash of a manifest is over them.
type rawJSON []byte

// UnmarshalJSON keeps b.
func (r *rawJSON) UnmarshalJSON(b []byte) error { *r = append((*r)[:0], b...); return nil }

func (a *Agent) facts(ctx context.Context) board.Facts {
	f := board.Read(a.cfg.Root)
	f.Agent = board.Agent{Version: a.cfg.Version, SHA256: a.sha256}
	if n, ok := cas.Free(a.dir); ok {
		f.StorageFree = n
	}
	for _, rt := range a.cfg.Runtimes {
		p := rt.Probe(ctx)
		f.Runtimes = append(f.Runtimes, board.Runtime{Name: p.Name, Version: p.Version, Path: p.Path, Present: p.Present, Why: p.Why})
	}
	return f
}

// have says what is missing, and whether it will fit with a tenth to spare.
func (a *Agent) have(r *wire.Request) (any, error) {
	var h wire.Have
	if err := r.Head(&h); err != nil {
		return nil, err
	}
	m := wire.Missing{Missing: a.store.Missing(h.Chunks), Free: -1}
	var need int64
	for _, i := range m.Missing {
		if h.Chunks[i].Len < 0 || h.Chunks[i].Len > 1<<30 {
			return nil, fail.New(fail.Invalid, "a chunk of %d bytes", h.Chunks[i].Len)
		}
		need += h.Chunks[i].Len
	}
	free, ok := cas.Free(a.dir)
	if ok && free < need+need/10 {
		if unlock, err := a.store.lock(lockDeployments); err == nil {
			keep := map[cas.Hash]bool{} // what arrived before a cut is worth more than room
			for _, c := range h.Chunks {
				keep[cas.Hash(c.SHA256)] = true
			}
			_, _ = a.store.gc(keep, busyAge) // orphans go before giving up
			unlock()
			m.Missing = a.store.Missing(h.Chunks)
			need = 0
			for _, i := range m.Missing {
				need += h.Chunks[i].Len
			}
			free, ok = cas.Free(a.dir)
		}
		if ok && free < need+need/10 {
			return nil, fail.New(fail.NoSpace, "the board's disk has %d KiB left, %d KiB are to be sent", free>>10, need>>10).Try("free space on the board, or remove old deployments with fettle deployments --remove")
		}
	}
	if ok {
		m.Free = free
	}
	return m, nil
}

// runtime finds an engine by name; "" is the first.
func (c Config) runtime(name string) (runtimes.Runtime, error) {
	for _, rt := range c.Runtimes {
		if name == "" || rt.Name() == name {
			return rt, nil
		}
	}
	return nil, fail.New(fail.Unsupported, "runtime %.40q is not in this agent", name).Try("see target facts for those that are")
}
