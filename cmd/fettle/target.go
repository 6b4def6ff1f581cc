package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"fettle/app"
	"fettle/internal/fail"
)

type targetCmd struct {
	Discover targetDiscoverCmd `cmd:"" help:"Look for boards: SSH configuration, known hosts, local network."`
	Add      targetAddCmd      `cmd:"" help:"Add a board, after its host key was accepted."`
	List     targetListCmd     `cmd:"" help:"List the targets."`
	Facts    targetFactsCmd    `cmd:"" help:"Show what a target is and how it is now."`
	Doctor   targetDoctorCmd   `cmd:"" help:"Say what of a target spoils measurements, and what to do."`
	Fix      targetFixCmd      `cmd:"" help:"Mend what spoils measurements: pin the clock, restore it, cool down, free space. Reversible, and written down."`
	Lease    targetLeaseCmd    `cmd:"" help:"Say who measures on a target and since when; --ask lets them know that you wait."`
	Noise    targetNoiseCmd    `cmd:"" help:"Compare a model with itself: the change that means nothing on this target."`
	Learn    targetLearnCmd    `cmd:"" help:"Measure kernels on a target, so that times of models can be predicted."`
	Trust    targetTrustCmd    `cmd:"" help:"List the signing keys whose deployments a target takes; with a key, take those too."`
	Forget   targetForgetCmd   `cmd:"" help:"Forget a board; with --remove take the agent and all deployments away."`
}

// login are the flags of every command that may have to log in.
type login struct {
	PasswordStdin bool `help:"Read the password from standard input."`
}

// turn are the flags of every command that measures.
type turn struct {
	Wait bool `help:"Wait while another desk measures on the board."`
	Take bool `help:"Take the board from a desk that measures on it: its measurement ends without a result."`
}

func (t turn) manner() (app.Manner, error) {
	switch {
	case t.Wait && t.Take:
		return 0, fail.New(fail.Usage, "--wait and --take exclude each other").Try("give one of them")
	case t.Wait:
		return app.Wait, nil
	case t.Take:
		return app.Take, nil
	}
	return app.Refuse, nil
}

// waiting tells who asked for the board while this desk measured.
func waiting(e *env) func(string) {
	return func(who string) { e.note("%s waits for the board", who) }
}

// asks answers questions of a login from the terminal or standard input.
func (l login) asks(e *env, accept string) app.Asks {
	return app.Asks{
		HostKey: func(ctx context.Context, q app.HostKeyQuestion) (bool, error) {
			if accept != "" {
				return false, nil // the fingerprint given was compared already and is another one
			}
			if !interactive() {
				return false, nil
			}
			fmt.Fprintf(e.errOut, "The host key of %s is not known:\n  %s %s\nIs it the board's? [yes/no] ", q.Address, q.KeyType, q.Fingerprint)
			line, err := bufio.NewReader(os.Stdin).ReadString('\n')
			return err == nil && strings.TrimSpace(line) == "yes", nil
		},
		Accept: accept,
		Password: func(ctx context.Context, user, host string) (string, error) {
			if l.PasswordStdin {
				b, err := io.ReadAll(io.LimitReader(os.Stdin, 4096))
				if err != nil {
					return "", fail.New(fail.Usage, "the password cannot be read from standard input: %v", err)
				}
				return strings.TrimRight(string(b), "\r\n"), nil
			}
			return secret(e, fmt.Sprintf("Password of %s@%s: ", user, host))
		},
		Passphrase: func(ctx context.Context, file string) (string, error) {
			return secret(e, "Passphrase of "+file+": ")
		},
	}
}

func interactive() bool { return term.IsTerminal(int(os.Stdin.Fd())) }

func secret(e *env, prompt string) (string, error) {
	if !interactive() {
		return "", fail.New(fail.Denied, "nobody is there to ask").Try("use a key, the ssh agent, or --password-stdin")
	}
	fmt.Fprint(e.errOut, prompt)
	b, err := term.ReadPassword(int(os.Stdin.Fd()))
	fmt.Fprintln(e.errOut)
	if err != nil {
		return "", fail.New(fail.Cancelled, "%v", err)
	}
	return string(b), nil
}

type targetAddCmd struct {
	Name          string   `arg:"" help:"Name to use from now on."`
	Address       string   `arg:"" help:"ssh://user@host:port, user@host, or a Host of ~/.ssh/config."`
	Identity      []string `help:"Private key file." type:"path"`
	AcceptHostKey string   `help:"Fingerprint that the board must show: SHA256:…"`
	Jump          string   `help:"Host to go through: user@host:port."`
	InstallKey    bool     `help:"Put a key on the board, so that the password is not needed again."`
	FirstProfile  bool     `help:"Measure the built-in sample at once and say how long everything took."`
	JSON          bool     `name:"json" help:"Print JSON."`
	login
}

// Help gives an example that works.
func (targetAddCmd) Help() string {
	return "Example:\n  fettle target add pi4 ssh://pi@192.168.1.20 --identity ~/.ssh/id_ed25519"
}

// Run adds the board.
func (c targetAddCmd) Run(e *env) error {
	f, err := e.app.AddBoard(e.ctx, app.Target{Name: c.Name, Address: c.Address, Identity: c.Identity, Jump: c.Jump},
		app.FirstOptions{InstallKey: c.InstallKey, Profile: c.FirstProfile, Progress: e.progress}, c.asks(e, c.AcceptHostKey))
	if err != nil {
		return err
	}
	if f.Key != "" {
		e.note("the board takes %s from now on", f.Key)
	}
	s := func(ns int64) float64 { return float64(ns) / 1e9 }
	var v any = f.Facts
	if c.FirstProfile {
		e.note("from nothing to the first profile: %.1f s (login, agent and facts %.1f, key %.1f, profile %.1f); p50 %s", s(f.TotalNs), s(f.AddNs), s(f.KeyNs), s(f.ProfileNs), ms(*f.P50Ns))
		v = f
	}
	return e.print(c.JSON, v, func(w io.Writer) {
		fmt.Fprintf(w, "added %s in %.1f s\n", c.Name, s(f.AddNs))
		if c.FirstProfile {
			fmt.Fprintf(w, "first profile after %.1f s: p50 %s\n", s(f.TotalNs), ms(*f.P50Ns))
		}
		printFacts(w, f.Facts)
	})
}

type targetListCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists the targets.
func (c targetListCmd) Run(e *env) error {
	list, err := e.app.Targets()
	if err != nil {
		return err
	}
	list = append([]app.Target{{Name: app.LocalTarget, Address: "this computer"}}, list...)
	return e.print(c.JSON, list, func(w io.Writer) {
		for _, t := range list {
			fmt.Fprintf(w, "%-16s %s\n", t.Name, t.Address)
		}
	})
}

type targetFactsCmd struct {
	Name  string `arg:"" default:"local" help:"Target."`
	Speed bool   `help:"Also measure the board's memory and storage: memory is read and copied for a second, 8 MB are written, flushed and read. Floors use it."`
	JSON  bool   `name:"json" help:"Print JSON."`
	login
}

// Run shows the facts.
func (c targetFactsCmd) Run(e *env) error {
	ask := e.app.TargetFacts
	if c.Speed {
		ask = e.app.TargetFactsAndSpeed
	}
	f, err := ask(e.ctx, c.Name, c.asks(e, ""))
	if err != nil {
		return err
	}
	return e.print(c.JSON, f, func(w io.Writer) { printFacts(w, f) })
}

func printFacts(w io.Writer, f *app.TargetFacts) {
	fmt.Fprintf(w, "%s, %s, %s, kernel %s\n", f.SoC, f.Arch, f.OS, f.Kernel)
	for i, c := range f.Cores {
		if i > 0 && c == f.Cores[i-1] {
			continue
		}
		n := 0
		for _, o := range f.Cores {
			if o == c {
				n++
			}
		}
		fmt.Fprintf(w, "  %d x %s", n, c.Part)
		if c.MaxHz > 0 {
			fmt.Fprintf(w, ", %.2f GHz", float64(c.MaxHz)/1e9)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "  memory %s\n", size(f.MemoryBytes))
	if f.Governor != "" {
		fmt.Fprintf(w, "  governor %s\n", f.Governor)
	}
	if f.TemperatureC != nil {
		fmt.Fprintf(w, "  %.1f C\n", *f.TemperatureC)
	}
	if f.Throttled != nil && *f.Throttled {
		fmt.Fprintln(w, "  throttled now")
	}
	for _, r := range f.Runtimes {
		if r.Present {
			fmt.Fprintf(w, "  runtime %s %s %s\n", r.Name, r.Version, r.Path)
		}
	}
	for _, l := range f.Libraries {
		fmt.Fprintf(w, "  library %s %s (%s) %s\n", l.Name, l.Version, l.Soname, l.Path)
	}
	for _, c := range f.Caches {
		fmt.Fprintf(w, "  cache L%d %s %d KiB\n", c.Level, strings.ToLower(c.Kind), c.Bytes>>10)
	}
	for _, s := range f.Sensors {
		fmt.Fprintf(w, "  power %s %s", s.Chip, s.Name)
		if s.Kind != "energy" {
			fmt.Fprintf(w, " %.3g W", s.Watts)
		}
		fmt.Fprintf(w, " (%s)\n", s.Kind)
	}
	if m := f.Memory; m != nil {
		fmt.Fprintf(w, "  memory reads %.3g GB/s, copies %.3g GB/s with %d cores\n", m.ReadBps/1e9, m.CopyBps/1e9, m.Cores)
	}
	if s := f.Storage; s != nil {
		fmt.Fprintf(w, "  storage writes %.3g MB/s, reads %.3g MB/s, flush %.3g ms\n", s.WriteBps/1e6, s.ReadBps/1e6, float64(s.FlushNs)/1e6)
	}
	if f.Clock != nil {
		fmt.Fprintf(w, "  clock ahead by %.3g s, within %.3g s\n", float64(f.Clock.AheadNs)/1e9, float64(f.Clock.WithinNs)/1e9)
	}
	if len(f.Agent.Guards) > 0 {
		fmt.Fprintf(w, "  agent %s, guarded by %s\n", f.Agent.Version, strings.Join(f.Agent.Guards, ", "))
	}
	for _, a := range f.Absent {
		fmt.Fprintf(w, "  not known: %s\n", a)
	}
}

type targetDoctorCmd struct {
	Name string `arg:"" default:"local" help:"Target."`
	JSON bool   `name:"json" help:"Print JSON."`
	login
}

// Run shows the check-up.
func (c targetDoctorCmd) Run(e *env) error {
	rows, err := e.app.TargetDoctor(e.ctx, c.Name, c.asks(e, ""))
	if err != nil {
		return err
	}
	return e.print(c.JSON, rows, func(w io.Writer) { printRows(w, rows) })
}

func printRows(w io.Writer, rows []app.TargetFinding) {
	for _, r := range rows {
		mark := "ok  "
		if !r.OK {
			mark = "look"
		}
		fmt.Fprintf(w, "%s %-12s %s", mark, r.Name, r.Why)
		if r.Fix != "" {
			fmt.Fprintf(w, "; %s", r.Fix)
		}
		if r.Do != "" {
			fmt.Fprintf(w, "; fettle target fix TARGET %s", r.Do)
		}
		fmt.Fprintln(w)
	}
}

type targetFixCmd struct {
	Name string `arg:"" help:"Target."`
	Fix  string `arg:"" optional:"" help:"pin-clock, restore-clock, cool-down or free-space; without one the log of what was changed."`
	JSON bool   `name:"json" help:"Print JSON."`
	login
}

// Help gives an example that works.
func (targetFixCmd) Help() string {
	return "Example:\n  fettle target fix local free-space\n\nA password, where sudo on the board wants one, is asked for or read with --password-stdin."
}

// Run mends.
func (c targetFixCmd) Run(e *env) error {
	if c.Fix == "" {
		log, err := e.app.FixLog(c.Name)
		if err != nil {
			return err
		}
		return e.print(c.JSON, log, func(w io.Writer) {
			for _, r := range log {
				fmt.Fprintf(w, "%s  %s: %s -> %s %s\n", time.Unix(r.Unix, 0).Format(time.DateTime), r.Fix, r.Before, r.After, r.Failed)
			}
		})
	}
	r, err := e.app.FixTarget(e.ctx, c.Name, c.Fix, e.progress, c.asks(e, ""))
	if err != nil {
		return err
	}
	return e.print(c.JSON, r, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %s, before %s\n", r.Fix, r.After, r.Before)
		if r.Note != "" {
			fmt.Fprintln(w, " ", r.Note)
		}
		if r.Undo != "" {
			fmt.Fprintf(w, "  to undo: fettle target fix %s %s\n", c.Name, r.Undo)
		}
	})
}

type targetForgetCmd struct {
	Name   string `arg:"" help:"Target."`
	Remove bool   `help:"Take the agent and all deployments off the board first."`
	JSON   bool   `name:"json" help:"Print JSON."`
	login
}

// Run forgets the board.
func (c targetForgetCmd) Run(e *env) error {
	if err := e.app.ForgetTarget(e.ctx, c.Name, c.Remove, c.asks(e, "")); err != nil {
		return err
	}
	return e.print(c.JSON, map[string]any{"name": c.Name, "removed": c.Remove}, func(w io.Writer) { fmt.Fprintln(w, "forgot", c.Name) })
}

type targetLeaseCmd struct {
	Name string `arg:"" default:"local" help:"Target."`
	Ask  bool   `help:"Let the holder know that you wait."`
	JSON bool   `name:"json" help:"Print JSON."`
	login
}

// Run shows the lease.
func (c targetLeaseCmd) Run(e *env) error {
	if c.Ask {
		if err := e.app.RequestLease(e.ctx, c.Name, c.asks(e, "")); err != nil {
			return err
		}
	}
	l, err := e.app.Lease(e.ctx, c.Name, c.asks(e, ""))
	if err != nil {
		return err
	}
	return e.print(c.JSON, l, func(w io.Writer) {
		switch {
		case l.Epoch == 0:
			fmt.Fprintln(w, "nobody has measured yet")
		case l.Held:
			fmt.Fprintf(w, "%s measures, for %d s so far (lease %d)\n", l.Holder, l.ForS, l.Epoch)
		default:
			fmt.Fprintf(w, "free; %s measured last (lease %d)\n", l.Holder, l.Epoch)
		}
		if l.Asked != "" {
			fmt.Fprintf(w, "%s waits\n", l.Asked)
		}
	})
}

type targetNoiseCmd struct {
	Name     string `arg:"" default:"local" help:"Target."`
	Model    string `help:"ONNX file; without one the built-in sample."`
	Launches int    `default:"20" help:"Pairs of starts."`
	Runs     int    `default:"20" help:"Inferences a launch, clean and instrumented each."`
	Threads  int    `default:"1" help:"Workers that share each layer."`
	JSON     bool   `name:"json" help:"Print JSON."`
	turn
	login
}

// Help gives an example that works.
func (targetNoiseCmd) Help() string { return "Example:\n  fettle target noise local --launches 8" }

// Run measures.
func (c targetNoiseCmd) Run(e *env) error {
	manner, err := c.manner()
	if err != nil {
		return err
	}
	m, err := e.app.Sample("")
	if c.Model != "" {
		m, err = e.app.Load(e.ctx, c.Model)
	}
	if err != nil {
		return err
	}
	n, err := e.app.MeasureNoise(e.ctx, app.ProfileRequest{Model: m, Name: "noise", Target: c.Name, Threads: c.Threads, Launches: c.Launches, Runs: c.Runs,
		Progress: e.progress, Manner: manner, Waiting: waiting(e), Asks: c.asks(e, "")})
	if err != nil {
		return err
	}
	return e.print(c.JSON, n, func(w io.Writer) {
		fmt.Fprintf(w, "identical code differed by up to %.2f %% on %s (%d pairs, seal %s); comparisons there count only larger changes\n", 100*n.Floor, c.Name, n.Pairs, n.Seal)
	})
}

type targetTrustCmd struct {
	Name string `arg:"" help:"Target."`
	Key  string `arg:"" optional:"" help:"Public half of a signing key, as fettle key prints it on the other desk."`
	Drop bool   `help:"No longer take deployments of this key."`
	JSON bool   `name:"json" help:"Print JSON."`
	login
}

// Run changes or lists the keys.
func (c targetTrustCmd) Run(e *env) error {
	keys, err := e.app.Trust(e.ctx, c.Name, c.Key, c.Drop, c.asks(e, ""))
	if err != nil {
		return err
	}
	if keys == nil {
		keys = []string{}
	}
	return e.print(c.JSON, keys, func(w io.Writer) {
		if len(keys) == 0 {
			fmt.Fprintln(w, "none yet: the first signed deployment makes its key the trusted one")
		}
		for _, k := range keys {
			fmt.Fprintln(w, k)
		}
	})
}

type keyCmd struct{}

// Help gives an example that works.
func (keyCmd) Help() string { return "Example:\n  fettle key" }

// Run prints the public half.
func (keyCmd) Run(e *env) error {
	k, err := e.app.SigningKey()
	if err != nil {
		return err
	}
	fmt.Fprintln(e.out, k)
	return nil
}

type targetDiscoverCmd struct {
	Listen time.Duration `default:"1500ms" help:"How long to listen for answers in the local network; 0 asks nobody."`
	JSON   bool          `name:"json" help:"Print JSON."`
}

// Help gives an example that works.
func (targetDiscoverCmd) Help() string { return "Example:\n  fettle target discover --listen 0s" }

// Run looks for boards.
func (c targetDiscoverCmd) Run(e *env) error {
	if c.Listen < 0 || c.Listen > time.Minute {
		return fail.New(fail.Usage, "listening for %v", c.Listen).Try("give 0s to 1m")
	}
	all, notes := e.app.Discover(e.ctx, c.Listen)
	for _, n := range notes {
		e.note("%s", n)
	}
	return e.print(c.JSON, all, func(w io.Writer) {
		for _, f := range all {
			fmt.Fprintf(w, "%-30s %s", f.Address, strings.Join(f.Sources, ", "))
			if f.Detail != "" && f.Detail != f.Address {
				fmt.Fprintf(w, "  %s", f.Detail)
			}
			if f.Added != "" {
				fmt.Fprintf(w, "  added as %s", f.Added)
			}
			fmt.Fprintln(w)
		}
		if len(all) == 0 {
			fmt.Fprintln(w, "nothing was found; add a board by its address: fettle target add NAME ssh://user@host")
		}
	})
}

type targetLearnCmd struct {
	Name    string        `arg:"" optional:"" default:"local" help:"Target."`
	Also    []string      `arg:"" optional:"" help:"Models to measure as well: for kinds of layers that the built-in probes do not have."`
	Threads int           `default:"1" help:"Workers that share each layer."`
	For     time.Duration `default:"2m" help:"How long to measure; a table that is there is continued."`
	Anew    bool          `help:"Forget what was measured before."`
	Floats  bool          `help:"Nothing on 8-bit integers."`
	JSON    bool          `name:"json" help:"Print JSON."`
	turn
	login
}

// Help gives an example that works.
func (targetLearnCmd) Help() string {
	return "Example:\n  fettle target learn local --for 90s\n\nA run that was stopped goes on where it was: each measured network is kept at once."
}

// Run measures kernels.
func (c targetLearnCmd) Run(e *env) error {
	manner, err := c.manner()
	if err != nil {
		return err
	}
	q := app.LearnRequest{ProfileRequest: app.ProfileRequest{Target: c.Name, Threads: c.Threads, Progress: e.progress, Asks: c.asks(e, ""), Manner: manner, Waiting: waiting(e)},
		Budget: c.For, Anew: c.Anew, Floats: c.Floats}
	for _, file := range c.Also {
		m, err := e.app.Load(e.ctx, file)
		if err != nil {
			return err
		}
		q.Also, q.Names = append(q.Also, m), append(q.Names, app.BaseName(file))
	}
	l, err := e.app.Learn(e.ctx, q)
	if err != nil {
		return err
	}
	return e.print(c.JSON, l, func(w io.Writer) {
		fmt.Fprintf(w, "%s, %d thread(s): %d networks (%d now), %d rows; a row that is left out is foretold within %.1f %% (median)\n", l.CPU, max(c.Threads, 1), l.Nets, l.Here, l.Rows, 100*l.Error)
		for i, k := range l.Kinds {
			switch {
			case i == 24:
				fmt.Fprintf(w, "  … %d kinds more\n", len(l.Kinds)-i)
			case i > 24:
			case k.Low != nil:
				fmt.Fprintf(w, "  %-56s %4d rows, within %4.1f %%\n", k.Kind, k.Points, 100*k.Error)
			default:
				fmt.Fprintf(w, "  %-56s %4d rows\n", k.Kind, k.Points)
			}
		}
		for i, r := range l.Rules {
			if i == 12 {
				fmt.Fprintf(w, "  … %d rules more\n", len(l.Rules)-i)
				break
			}
			fmt.Fprintf(w, "  %s\n", r)
		}
	})
}
