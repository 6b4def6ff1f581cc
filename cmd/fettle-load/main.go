// Command fettle-load measures how long a prepared plan takes to load and how much memory a process holds that runs it. It
// prepares a built-in network, and then starts itself anew for each measurement, because the peak of a process never falls.
//
//	go run ./cmd/fettle-load -network resnet50 -write /tmp/resnet50.onnx
//
// -write keeps the network as a file for scripts/ort/load.js, which measures ONNX Runtime.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"fettle/internal/fail"
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
		return measure(ctx, rt, *name, *write, *count, opt)
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fettle-load:", err)
		os.Exit(fail.ExitCode(err))
	}
}

func measure(ctx context.Context, rt runtimes.Runtime, name, write string, count int, opt runtimes.Options) error {
	m, err := sample.Build(name)
	if err != nil {
		return err
	}
	if write != "" {
		if err := onnx.WriteFile(write, m); err != nil {
			return err
		}
	}
	steps, err := optimizer.Run(ctx, m, catalog.Standard(), optimizer.Env{Passes: catalog.Passes()})
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "fettle-load-*")
	if err != nil {
		return fail.New(fail.NoSpace, "%v", err)
	}
	defer os.RemoveAll(dir)
	opt.Cache = dir
	begin := time.Now()
	first, err := rt.Prepare(ctx, steps[len(steps)-1].Model, opt)
	if err != nil {
		return err
	}
	prepared := time.Since(begin)
	mem := first.Memory()
	if err := first.Close(); err != nil || !mem.Prepared {
		return fail.New(fail.Failed, "no prepared plan was written: %v", err)
	}
	var all []taken
	for range count {
		t, err := inChild(ctx, opt)
		if err != nil {
			return err
		}
		all = append(all, *t)
	}
	by := func(f func(t taken) int64) int64 {
		v := make([]int64, len(all))
		for i, t := range all {
			v[i] = f(t)
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	const mb = 1e6
	last := all[len(all)-1]
	bound := 1.1*float64(last.Packed) + float64(last.Arena) + 5*mb
	fmt.Printf("%s, %d thread(s), pack %s: compiled and written in %.0f ms\n", name, opt.Threads, opt.Pack, ms(int64(prepared)))
	fmt.Printf("load %.2f ms (%.2f ms of processor time), first inference %.1f ms, medians of %d processes\n",
		ms(by(func(t taken) int64 { return t.LoadNS })), ms(by(func(t taken) int64 { return t.LoadCPU })), ms(by(func(t taken) int64 { return t.FirstNS })), len(all))
	peak := float64(by(func(t taken) int64 { return t.Peak }))
	fmt.Printf("file %.1f MB, packed weights %.1f MB, arena %.1f MB; peak of the process %.1f MB (private %.1f, mapped %.1f), bound 1.1 x weights + arena + 5 MB = %.1f MB: %.0f %%\n",
		float64(last.FileBytes)/mb, float64(last.Packed)/mb, float64(last.Arena)/mb, peak/mb, float64(last.Anon)/mb, float64(last.File)/mb, bound/mb, 100*peak/bound)
	return nil
}

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
	b, err := io.ReadAll(p.Stdout)
	if werr := p.Wait(); werr != nil {
		return nil, werr
	}
	if err != nil {
		return nil, fail.New(fail.Internal, "%v", err)
	}
	var t taken
	if err := json.Unmarshal(b, &t); err != nil {
		return nil, fail.New(fail.Internal, "the child said %q", b)
	}
	return &t, nil
}

// open is the child: it loads, runs five times, and says what that took.
func open(ctx context.Context, rt runtimes.Reopener, opt runtimes.Options) error {
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
	begin = time.Now()
	for i := range 5 {
		if err := s.Exec(ctx, nil); err != nil {
			return err
		}
		if i == 0 {
			t.FirstNS = int64(time.Since(begin))
		}
	}
	files, err := os.ReadDir(opt.Cache)
	if err != nil {
		return fail.New(fail.Internal, "%v", err)
	}
	for _, f := range files {
		if st, err := f.Info(); err == nil {
			t.FileBytes += st.Size()
		}
	}
	t.Peak, t.Anon, t.File = status("VmHWM:"), status("RssAnon:"), status("RssFile:")
	b, err := json.Marshal(t)
	if err != nil {
		return fail.New(fail.Internal, "%v", err)
	}
	_, err = os.Stdout.Write(b)
	return err
}

// status is a number of kB in /proc/self/status, in bytes.
func status(field string) int64 {
	f, err := os.Open("/proc/self/status")
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
