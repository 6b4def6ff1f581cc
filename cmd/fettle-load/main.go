// Command fettle-load measures how long a prepared plan takes to load and how much memory a process holds that runs it, loaded as sparingly as
// the agent does on a board. It prepares a built-in network, and then starts itself anew for each measurement, because the peak of a
// process never falls. The kernel is asked for it (VmHWM) from outside, while the child still has everything.
//
//	go run ./cmd/fettle-load -network resnet50 -write /tmp/resnet50.onnx
//
// -write keeps the network as a file for scripts/ort/load.js, which measures ONNX Runtime.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"fettle/internal/fail"
	"fettle/internal/mapped"
	"fettle/internal/sandbox"
	"fettle/model"
	"fettle/model/onnx"
	"fettle/optimizer"
	"fettle/optimizer/catalog"
	"fettle/runtimes"
	"fettle/runtimes/native"
	"fettle/sample"
)

// taken is what one child measured.
type taken struct {
	LoadNS, LoadCPU, FirstNS int64 // open to a session that can run, the processor's share of it, first inference
	Peak, Anon, File         int64 // bytes: peak of the process; private and mapped ones at the end
	Packed, Arena, FileBytes int64
}

func main() {
	name := flag.String("network", "resnet50", "built-in network")
	threads := flag.Int("threads", 1, "workers")
	small := flag.Bool("small", false, "no algorithm that needs much more memory than the weights of the file")
	write := flag.String("write", "", "file for ONNX Runtime")
	count := flag.Int("count", 11, "processes that are measured")
	child := flag.String("open", "", "folder with the prepared plan to measure in this process, for the program itself")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	opt := runtimes.NewOptions()
	opt.Threads, opt.ModelID, opt.Pack = *threads, *name, "fast"
	if *small {
		opt.Pack = "small"
	}
	err := func() error {
		rt, err := native.New(os.Getenv("FETTLE_CPU"))
		if err != nil {
			return err
		}
		if opt.Cache = *child; opt.Cache != "" {
			return open(ctx, rt.(runtimes.Reopener), opt)
		}
		r, err := measure(ctx, rt, *name, *write, *count, opt)
		if err == nil {
			r.print(*name, opt)
		}
		return err
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fettle-load:", err)
		os.Exit(fail.ExitCode(err))
	}
}

// result is what the children measured; peak and bound are bytes.
type result struct {
	all         []taken
	last        taken
	peak, bound int64
	prepared    time.Duration
}

func measure(ctx context.Context, rt runtimes.Runtime, name, write string, count int, opt runtimes.Options) (*result, error) {
	m, err := sample.Build(name)
	if err != nil {
		return nil, err
	}
	if write != "" {
		if err := onnx.WriteFile(write, m); err != nil {
			return nil, err
		}
	}
	steps, err := optimizer.Run(ctx, m, catalog.Standard(), optimizer.Env{Passes: catalog.Passes()})
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "fettle-load-*")
	if err != nil {
		return nil, fail.New(fail.NoSpace, "%v", err)
	}
	defer os.RemoveAll(dir)
	opt.Cache = dir
	begin := time.Now()
	first, err := rt.Prepare(ctx, steps[len(steps)-1].Model, opt)
	if err != nil {
		return nil, err
	}
	prepared := time.Since(begin)
	mem := first.Memory()
	if err := first.Close(); err != nil || !mem.Prepared {
		return nil, fail.New(fail.Failed, "no prepared plan was written: %v", err)
	}
	var all []taken
	for range count {
		t, err := inChild(ctx, opt)
		if err != nil {
			return nil, err
		}
		all = append(all, *t)
	}
	r := &result{all: all, last: all[len(all)-1], prepared: prepared}
	r.bound = r.last.Packed + r.last.Packed/10 + r.last.Arena + 5*mb
	r.peak = r.median(func(t taken) int64 { return t.Peak })
	return r, nil
}

// median of what all children say.
func (r *result) median(f func(t taken) int64) int64 {
	v := make([]int64, len(r.all))
	for i, t := range r.all {
		v[i] = f(t)
	}
	slices.Sort(v)
	return v[len(v)/2]
}

func (r *result) print(name string, opt runtimes.Options) {
	last := r.last
	fmt.Printf("%s, %d thread(s), pack %s: compiled and written in %.0f ms\n", name, opt.Threads, opt.Pack, ms(int64(r.prepared)))
	fmt.Printf("load %.2f ms (%.2f ms of processor time), first inference %.1f ms, medians of %d processes\n", ms(r.median(func(t taken) int64 { return t.LoadNS })),
		ms(r.median(func(t taken) int64 { return t.LoadCPU })), ms(r.median(func(t taken) int64 { return t.FirstNS })), len(r.all))
	fmt.Printf("file %.1f MB, packed weights %.1f MB, arena %.1f MB; peak of the process %.1f MB (private %.1f, mapped %.1f), bound 1.1 x weights + arena + 5 MB = %.1f MB: %.0f %%\n",
		float64(last.FileBytes)/mb, float64(last.Packed)/mb, float64(last.Arena)/mb, float64(r.peak)/mb, float64(last.Anon)/mb, float64(last.File)/mb, float64(r.bound)/mb,
		100*float64(r.peak)/float64(r.bound))
}

const mb = 1_000_000

func ms(ns int64) float64 { return float64(ns) / 1e6 }

func inChild(ctx context.Context, opt runtimes.Options) (*taken, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fail.New(fail.Internal, "%v", err)
	}
	p, err := sandbox.Start(ctx, sandbox.Spec{Path: self, Args: []string{"-open", opt.Cache, "-network", opt.ModelID, "-threads", strconv.Itoa(opt.Threads), fmt.Sprintf("-small=%t", opt.Pack == "small")}})
	if err != nil {
		return nil, err
	}
	var ran [1]byte
	_, rerr := io.ReadFull(p.Stdout, ran[:])
	peak, anon, file := status(p.Pid(), "VmHWM:"), status(p.Pid(), "RssAnon:"), status(p.Pid(), "RssFile:")
	_ = p.Stdin.Close() // it goes on and says the rest
	b, err := io.ReadAll(p.Stdout)
	if werr := p.Wait(); werr != nil {
		return nil, werr
	}
	if err := errors.Join(rerr, err); err != nil {
		return nil, fail.New(fail.Internal, "%v", err)
	}
	t := taken{}
	if err := json.Unmarshal(b, &t); err != nil {
		return nil, fail.New(fail.Internal, "the child said %q", b)
	}
	t.Peak, t.Anon, t.File = peak, anon, file
	return &t, nil
}

// open is the child: it loads, runs five times, lets its parent look at its memory, and says what that took.
func open(ctx context.Context, rt runtimes.Reopener, opt runtimes.Options) error {
	runtime.GOMAXPROCS(min(runtime.NumCPU(), opt.Threads+1))
	mapped.NarrowProgram()
	usual := debug.SetGCPercent(25)
	begin, used := time.Now(), cpuTime()
	s, err := rt.Reopen(ctx, opt)
	if err != nil {
		return err
	}
	defer s.Close()
	mem := s.Memory()
	t := taken{LoadNS: int64(time.Since(begin)), LoadCPU: int64(cpuTime() - used), Packed: mem.Weights, Arena: mem.Arena}
	in := map[string]*model.Tensor{}
	for _, v := range s.Inputs() {
		dims, _ := v.Type.Shape.Ints()
		in[v.Name] = model.NewTensor(v.Type.DType, dims...)
	}
	if err := s.Feed(in); err != nil {
		return err
	}
	in = nil
	debug.SetGCPercent(usual)
	debug.FreeOSMemory()
	mapped.ForgetProgram()
	begin = time.Now()
	for i := range 5 {
		if err := s.Exec(ctx, nil); err != nil {
			return err
		}
		if i == 0 {
			t.FirstNS = int64(time.Since(begin))
		}
	}
	var none [1]byte
	if _, err := os.Stdout.Write(none[:]); err != nil {
		return err
	}
	_, _ = os.Stdin.Read(none[:]) // until it is closed
	files, err := os.ReadDir(opt.Cache)
	if err != nil {
		return fail.New(fail.Internal, "%v", err)
	}
	for _, f := range files {
		if st, err := f.Info(); err == nil {
			t.FileBytes += st.Size()
		}
	}
	b, err := json.Marshal(t)
	if err != nil {
		return fail.New(fail.Internal, "%v", err)
	}
	_, err = os.Stdout.Write(b)
	return err
}

// status is a number of kB in the status of a process, in bytes.
func status(pid int, field string) int64 {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		if v, ok := strings.CutPrefix(in.Text(), field); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(v, "kB")), 10, 64)
			if err == nil {
				return n << 10
			}
		}
	}
	return 0
}

// cpuTime is the processor time of this process so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
