// Command fettle is the command line of Fettle: everything the studio does, for scripts and CI. It is built without
// cgo. One file holds a command; app does the work.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"fettle/app"
	"fettle/internal/fail"
)

// cli lists the commands. Each has a Run(*env) error and an example in its help.
type cli struct {
	Quiet bool `help:"No progress." short:"q"`

	Inspect     inspectCmd     `cmd:"" help:"Show what is in a model."`
	Convert     convertCmd     `cmd:"" help:"Write a model in another form: fixed shapes, a part of it, another opset."`
	Run         runCmd         `cmd:"" help:"Run one inference."`
	Diff        diffCmd        `cmd:"" help:"Compare the outputs and layers of two models."`
	Debug       debugCmd       `cmd:"" help:"Compare a quantized model with its float model, value by value and weight by weight."`
	Conformance conformanceCmd `cmd:"" help:"Run cases in the layout of the ONNX backend tests."`
	Optimize    optimizeCmd    `cmd:"" help:"Apply a recipe."`
	Quantize    quantizeCmd    `cmd:"" help:"Find the way to quantize a model: try every method, or list what each layer would lose and win."`
	Passes      passesCmd      `cmd:"" help:"List every pass with its options."`
	Eval        evalCmd        `cmd:"" help:"Score a model on data."`
	Target      targetCmd      `cmd:"" help:"Boards: discover, add, list, facts, doctor, lease, noise, trust, forget."`
	Sensitivity sensitivityCmd `cmd:"" help:"Say what a model loses where channels go, and choose which go within a limit."`
	Search      searchCmd      `cmd:"" help:"Try recipes against limits on time, size and score, and give those that nobody beats."`
	Students    studentsCmd    `cmd:"" help:"Let small networks learn from a model, thinned versions of it and ready ones, and rank them by time and score."`
	Goal        goalCmd        `cmd:"" help:"Hold a goal against what a board can do at most, before anything is measured."`
	Predict     predictCmd     `cmd:"" help:"Predict the time of a model on a target whose kernels were measured."`
	Staircase   staircaseCmd   `cmd:"" help:"Show how a layer's time goes up with its channels, in steps."`
	Roofline    rooflineCmd    `cmd:"" help:"Show each layer against what the target can do at most."`
	Bench       benchCmd       `cmd:"" help:"Time the engine's kernels."`
	Profile     profileCmd     `cmd:"" help:"Measure latency layer by layer, here or on a board."`
	Compare     compareCmd     `cmd:"" help:"Compare two profiles, or measure two models in turns."`
	Deploy      deployCmd      `cmd:"" help:"Put a model on a board."`
	Rollback    rollbackCmd    `cmd:"" help:"Return to the version before."`
	Deployments deploymentsCmd `cmd:"" help:"List what is deployed on a board."`
	Service     serviceCmd     `cmd:"" help:"Keep deployments running on a board, and say how they go."`
	Key         keyCmd         `cmd:"" help:"Print the public half of the key that signs your deployments; it is made on first use."`
	Audit       auditCmd       `cmd:"" help:"Follow a model through a board value by value: the first layer that computes something else than here, and on which input."`
	Export      exportCmd      `cmd:"" help:"Write a profile or comparison as a report or plot."`
	Sample      sampleCmd      `cmd:"" help:"Write a built-in network."`
	Doctor      doctorCmd      `cmd:"" help:"Say what this computer lacks, and how to get it."`
	Demo        demoCmd        `cmd:"" help:"Do the main job on this computer with the sample."`
	Version     versionCmd     `cmd:"" help:"Print the version."`
	Docs        docsCmd        `cmd:"" hidden:"" help:"Write the documents that are made from tables."`
}

// env is what a command works with.
type env struct {
	ctx    context.Context
	app    *app.App
	out    io.Writer
	errOut io.Writer
	quiet  bool
	json   bool
}

func main() {
	// the program is its own agent for "this computer" where it carries none
	if len(os.Args) > 1 && os.Args[1] == agentVerb {
		os.Exit(app.AgentMain(selfAgent(), os.Args[2:], os.Getenv("FETTLE_CPU"), os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// agentVerb makes this program an agent; it is not for people.
const agentVerb = "agent"

func selfAgent() []string {
	self, err := os.Executable()
	if err != nil {
		return nil
	}
	return []string{self, agentVerb}
}

func run(args []string, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c cli
	exited := -1
	parser, err := kong.New(&c, kong.Name("fettle"), kong.Writers(out, errOut), kong.Exit(func(code int) { exited = code }),
		kong.Description("Make neural networks fit small boards."), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		fmt.Fprintln(errOut, "fettle:", err)
		return 1
	}
	asJSON := wantsJSON(args)
	k, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		return report(out, errOut, asJSON, fail.New(fail.Usage, "%v", err).Doing("fettle").Try("see fettle --help"))
	}
	a, err := app.Open(app.Options{ISA: os.Getenv("FETTLE_CPU"), Self: selfAgent()})
	if err != nil {
		return report(out, errOut, asJSON, err)
	}
	e := &env{ctx: ctx, app: a, out: out, errOut: errOut, quiet: c.Quiet || !terminal(errOut), json: asJSON}
	err = k.Run(e)
	if cerr := a.Close(); err == nil {
		err = cerr
	}
	if err != nil && ctx.Err() != nil {
		err = fail.From(ctx.Err())
	}
	if err != nil {
		return report(out, errOut, asJSON, err)
	}
	return 0
}

func wantsJSON(args []string) bool {
	for _, a := range args {
		if a == "--json" {
			return true
		}
	}
	return false
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

// errNo is an answer of no whose details were already printed.
var errNo = errors.New("the answer is no")

// report prints an error as people and scripts read it and gives the exit code.
func report(out, errOut io.Writer, asJSON bool, err error) int {
	if errors.Is(err, errNo) {
		return 1
	}
	e := fail.From(err)
	what := e.What
	if what == "" {
		what = "fettle"
	}
	line := "fettle: " + what + " failed: "
	if w := e.Where.String(); w != "" {
		line += w + ": "
	}
	line += e.Why
	if e.Fix != "" {
		line += "; " + e.Fix
	}
	fmt.Fprintln(errOut, line)
	if asJSON {
		why := e.Why
		if w := e.Where.String(); w != "" {
			why = w + ": " + why
		}
		_ = json.NewEncoder(out).Encode(map[string]any{"error": map[string]string{"code": string(e.Kind), "what": what, "why": why, "fix": e.Fix}})
	}
	return fail.ExitCode(err)
}

// print writes v as the one JSON document, or calls text.
func (e *env) print(asJSON bool, v any, text func(w io.Writer)) error {
	if !asJSON {
		text(e.out)
		return nil
	}
	enc := json.NewEncoder(e.out)
	enc.SetIndent("", " ")
	return enc.Encode(v)
}

// progress shows one line on a terminal.
func (e *env) progress(done, total int64, what string) {
	if e.quiet {
		return
	}
	if total > 0 {
		fmt.Fprintf(e.errOut, "\r\x1b[K%s  %d of %d", what, done, total)
	} else {
		fmt.Fprintf(e.errOut, "\r\x1b[K%s", what)
	}
	if done == total {
		fmt.Fprintln(e.errOut)
	}
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(e *env) error {
	fmt.Fprintln(e.out, "fettle", app.Version)
	return nil
}

// note says something that is no result.
func (e *env) note(format string, args ...any) {
	if !e.quiet || !e.json {
		fmt.Fprintf(e.errOut, "fettle: "+format+"\n", args...)
	}
}
