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
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"fettle/internal/cas"
	"fettle/internal/fail"
	"fettle/internal/mapped"
	"fettle/remote/board"
	"fettle/remote/bundle"
	"fettle/remote/wire"
	"fettle/runtimes"
)

// Config is what a program gives the agent that it is.
type Config struct {
	Version  string
	Runtimes []runtimes.Runtime // the first one is used where none is named
	Self     []string           // how to start this program as an agent again; nil: this program without arguments
	Root     string             // folder of /proc and /sys, "" is /
	SHA256   string             // of this program, "": it is reckoned
	Speak    int                // answer as an agent of this version of the protocol, 0: the newest; for tests of other releases
}

// Main runs the agent with the words after the program's name and gives the exit code.
//
//	serve --store DIR   answer on standard input and output
//	child               run one model for a serving agent
//	job --store DIR --id ID   measure for a serving agent, and outlive it
//	service --store DIR --name NAME [--stdio]   keep a deployment running, for its socket
//	supervise --store DIR --name NAME           start that again when it dies
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
			a.guards = confine(places{write: []string{*dir}})
			err = a.Serve(ctx, rw)
		}
		if err != nil {
			return say(err)
		}
	case "child":
		flags := flag.NewFlagSet("child", flag.ContinueOnError)
		flags.SetOutput(errOut)
		dir, marked := flags.String("store", "", "folder of the store"), flags.Bool("mark", false, "descriptor 3 is a page that says how far it is")
		if err := flags.Parse(args[1:]); err != nil || *dir == "" || flags.NArg() > 0 {
			return say(fail.New(fail.Usage, "child needs --store DIR"))
		}
		runtime.GOMAXPROCS(1) // until it is known how many workers there are
		mapped.NarrowProgram()
		c, err := newChild(cfg, *dir, *marked)
		if err == nil {
			err = wire.Serve(ctx, orphan{rw}, c.handle)
		}
		if err != nil {
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
			a.guards = confine(places{write: []string{*dir}})
			err = a.measure(ctx, *id)
		}
		if err != nil {
			return say(err)
		}
	case "service", "supervise":
		flags := flag.NewFlagSet(verb, flag.ContinueOnError)
		flags.SetOutput(errOut)
		dir, name, direct := flags.String("store", "", "folder of the store"), flags.String("name", "", "deployment"), flags.Bool("stdio", false, "answer on standard input and output")
		if err := flags.Parse(args[1:]); err != nil || *dir == "" || *name == "" || flags.NArg() > 0 {
			return say(fail.New(fail.Usage, "%s needs --store DIR --name NAME", verb))
		}
		a, err := New(cfg, *dir)
		if err == nil {
			a.guards = confine(places{write: []string{*dir}})
			switch {
			case *direct:
				err = a.serveModel(ctx, *name, &rw)
			case verb == "supervise":
				signal.Ignore(syscall.SIGHUP) // it outlives the session that started it
				err = a.supervise(ctx, *name)
			default:
				signal.Ignore(syscall.SIGHUP)
				err = a.serveModel(ctx, *name, nil)
			}
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
		return say(fail.New(fail.Usage, "say serve, child, job, service, supervise, hash or version"))
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

// newChild is a process that runs one model: it reads the store and what it needs to know of the computer, and writes
// prepared plans.
func newChild(cfg Config, dir string, marked bool) (*child, error) {
	c := &child{cfg: cfg}
	if marked {
		var err error
		if c.mark, err = mapMark(os.NewFile(3, "mark")); err != nil {
			return nil, err
		}
	}
	plans := filepath.Join(dir, "plans")
	if err := os.MkdirAll(plans, 0o700); err != nil {
		return nil, cas.Explain(err)
	}
	root := cfg.Root
	if root == "" {
		root = "/"
	}
	read := []string{dir, "/proc", "/sys", filepath.Join(root, "proc"), filepath.Join(root, "sys")}
	if self, err := os.Executable(); err == nil {
		read = append(read, self)
	}
	confine(places{write: []string{plans}, read: read}) // the serving agent says what this kernel lacks
	return c, nil
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
	offers offers
	guards guards
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
	sum := cfg.SHA256
	if sum == "" {
		if sum, err = selfHash(); err != nil {
			return nil, err
		}
	}
	return &Agent{cfg: cfg, store: store, leases: &leases{store: store}, dir: dir, sha256: sum}, nil
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
	speak := a.cfg.Speak
	if speak == 0 {
		speak = wire.Version
	}
	if wire.Since(r.Verb) > speak {
		return nil, fail.New(fail.Unsupported, "this agent does not know %.40q", r.Verb).Try("use agent and desk of the same release")
	}
	switch r.Verb {
	case wire.VerbHello:
		h := wire.Hello{Protocol: speak, Oldest: max(1, speak-(wire.Version-wire.Oldest)), Version: a.cfg.Version, SHA256: a.sha256, Arch: runtime.GOARCH, PID: os.Getpid(), Store: a.dir, Zstd: true}
		if speak >= 3 {
			h.Board, h.Last = a.store.counted()
		}
		return h, nil
	case wire.VerbFacts:
		var q wire.FactsAsk
		if r.Head(&q) != nil {
			q = wire.FactsAsk{} // a desk that asks for nothing special
		}
		return a.facts(ctx, q), nil
	case wire.VerbHave:
		return a.have(r)
	case wire.VerbPut:
		var p wire.Put
		if err := r.Head(&p); err != nil {
			return nil, err
		}
		if err := a.offers.allow(a.store, p.Chunks); err != nil {
			return nil, err
		}
		return a.put(p, r)
	case wire.VerbOffer:
		return a.offer(r)
	case wire.VerbCommit:
		s, err := signed(r)
		if err != nil {
			return nil, err
		}
		return a.store.Commit(s.Manifest, bundle.Signature(s.Vouch))
	case wire.VerbInstall:
		return a.install(ctx, r)
	case wire.VerbService:
		var q wire.ServiceAsk
		if err := r.Head(&q); err != nil {
			return nil, err
		}
		return a.control(ctx, q)
	case wire.VerbTrust:
		var q wire.Trust
		if err := r.Head(&q); err != nil {
			return nil, err
		}
		return a.store.Trust(q)
	case wire.VerbList:
		return a.store.List()
	case wire.VerbRollback:
		var q wire.Back
		if err := r.Head(&q); err != nil {
			return nil, err
		}
		return a.store.RollbackFor(q)
	case wire.VerbRemove:
		var n wire.Named
		if err := r.Head(&n); err != nil {
			return nil, err
		}
		return a.store.Remove(n.Name)
	case wire.VerbTidy:
		return a.store.Tidy()
	case wire.VerbRemoveAll:
		a.stopJobs(ctx)
		a.stopServices(ctx)
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

func (a *Agent) facts(ctx context.Context, q wire.FactsAsk) board.Facts {
	f := board.Read(a.cfg.Root)
	f.Agent = board.Agent{Version: a.cfg.Version, SHA256: a.sha256, Guards: a.guards.Have}
	for _, why := range a.guards.Absent {
		f.Absent = append(f.Absent, "guard of the agent: "+why)
	}
	if n, ok := cas.Free(a.dir); ok {
		f.StorageFree = n
	}
	if l, err := a.leases.look(); err == nil && l.Held && !a.leases.mine(l.Epoch) {
		f.Lease = &board.Lease{Holder: l.Holder, ForS: l.ForS}
	}
	home, _ := os.UserHomeDir() // "" is none
	if _, err := os.Stat(filepath.Join(a.dir, "governor.before")); err == nil {
		f.Pinned = true
	}
	var why string
	if f.Libraries, why = board.Libraries(a.cfg.Root, home); why != "" {
		f.Absent = append(f.Absent, why)
	}
	if q.Storage {
		s, err := board.MeasureStorage(a.dir, f.StorageFree)
		if f.Storage = s; err != nil {
			f.Absent = append(f.Absent, "storage speed: "+err.Error())
		}
	}
	if q.Memory {
		free := int64(0)
		if f.MemoryFree != nil {
			free = *f.MemoryFree
		}
		f.Memory = board.MeasureMemory(free)
	}
	for _, rt := range a.cfg.Runtimes {
		p := rt.Probe(ctx)
		f.Runtimes = append(f.Runtimes, board.Runtime{Name: p.Name, Version: p.Version, Path: p.Path, Present: p.Present, Why: p.Why})
	}
	f.NowNs = time.Now().UnixNano()
	return f
}

// signed reads a manifest with its signature; desks of before signatures send the manifest alone.
func signed(r *wire.Request) (wire.Signed, error) {
	var raw rawJSON
	if err := r.Head(&raw); err != nil {
		return wire.Signed{}, err
	}
	var s wire.Signed
	if err := json.Unmarshal(raw, &s); err == nil && len(s.Manifest) > 0 {
		return s, nil
	}
	return wire.Signed{Manifest: json.RawMessage(raw)}, nil
}

// offers are the chunks of manifests that were vouched for on this connection. On a board that knows a key nothing else is
// written.
type offers struct {
	mu     sync.Mutex
	chunks map[cas.Hash]int64
}

func (o *offers) add(m *bundle.Manifest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.chunks == nil {
		o.chunks = map[cas.Hash]int64{}
	}
	for _, c := range m.All() {
		o.chunks[c.SHA256] = c.Len
	}
}

func (o *offers) allow(s *Store, chunks []wire.Chunk) error {
	known, err := s.Trusted()
	if err != nil || len(known) == 0 {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range chunks {
		if n, ok := o.chunks[cas.Hash(c.SHA256)]; !ok || n != c.Len {
			return fail.New(fail.Denied, "chunk %.12s is of no signed manifest", c.SHA256).Try("deploy with a release that signs, whose key this board trusts")
		}
	}
	return nil
}

// offer takes a manifest before its bytes: nothing is written for one that nobody known signed.
func (a *Agent) offer(r *wire.Request) (any, error) {
	s, err := signed(r)
	if err != nil {
		return nil, err
	}
	sig := bundle.Signature(s.Vouch)
	m, err := a.store.Vouched(s.Manifest, sig)
	if err != nil {
		return nil, err
	}
	if sig.Number != 0 { // one without is to be measured; a commit refuses it
		if err := a.store.fresh(sig); err != nil {
			return nil, err
		}
	}
	a.offers.add(m)
	all := m.All()
	chunks := make([]wire.Chunk, len(all))
	for i, c := range all {
		chunks[i] = wire.Chunk{SHA256: string(c.SHA256), Len: c.Len}
	}
	return a.missing(chunks)
}

// have answers desks of before signatures.
func (a *Agent) have(r *wire.Request) (any, error) {
	var h wire.Have
	if err := r.Head(&h); err != nil {
		return nil, err
	}
	return a.missing(h.Chunks)
}

// missing says which chunks are missing, each once, and whether they will fit with a tenth to spare.
func (a *Agent) missing(chunks []wire.Chunk) (any, error) {
	seen := map[string]bool{}
	lacking := func() (out []int, need int64, err error) {
		clear(seen)
		out = []int{}
		for _, i := range a.store.Missing(chunks) {
			if chunks[i].Len < 0 || chunks[i].Len > 1<<30 {
				return nil, 0, fail.New(fail.Invalid, "a chunk of %d bytes", chunks[i].Len)
			}
			if !seen[chunks[i].SHA256] {
				seen[chunks[i].SHA256] = true
				out = append(out, i)
				need += chunks[i].Len
			}
		}
		return out, need, nil
	}
	missing, need, err := lacking()
	if err != nil {
		return nil, err
	}
	m := wire.Missing{Missing: missing, Free: -1}
	free, ok := cas.Free(a.dir)
	if ok && free < need+need/10 {
		if unlock, err := a.store.lock(lockDeployments); err == nil {
			keep := map[cas.Hash]bool{} // what arrived before a cut is worth more than room
			for _, c := range chunks {
				keep[cas.Hash(c.SHA256)] = true
			}
			_, _ = a.store.gc(keep, busyAge) // orphans go before giving up
			unlock()
			if m.Missing, need, err = lacking(); err != nil {
				return nil, err
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
