package boards

import (
	"fmt"
	"slices"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"fettle/app"
	"fettle/views/kit"
)

// detailOf is the right side: an error if there is one, the check-up, and all facts.
func (s *screen) detailOf(b *app.Board) fyne.CanvasObject {
	u := s.u
	ask := u.NewButton(kit.Outline, "redo", u.T("Ask again"), func() { s.do.Connect(b.Name) })
	ask.SetOff(b.Busy, u.T("the board is busy"))
	tools := []fyne.CanvasObject{kit.NewLine(s.title(b), 18, u.Theme.Text1).Bold().Whole(), kit.Flex(u.Caption(b.Address)), ask}
	if b.Facts != nil {
		tools = append(tools, u.NewButton(kit.Outline, "profile", u.T("Profile"), func() { s.do.Show("profile") }),
			u.NewButton(kit.Outline, "deploy", u.T("Deploy"), func() { s.do.Show("deploy") }))
	}
	rows := []fyne.CanvasObject{}
	if b.Err != nil {
		rows = append(rows, u.ErrorPanel(b.Err, u.NewButton(kit.Outline, "redo", u.T("Try again"), func() { s.do.Connect(b.Name) }).Small()))
	}
	switch {
	case b.Facts != nil:
		rows = append(rows, u.Panel(s.checkUp(b)))
		if len(b.Fixes) > 0 {
			rows = append(rows, u.Panel(s.changes(b)))
		}
		if b.First != nil && b.First.AddNs > 0 {
			rows = append(rows, u.Panel(s.first(b)))
		}
		rows = append(rows, u.Panel(s.access(b)), u.Panel(u.Section(u.T("Facts"), "", kit.Rows(8, s.factGrid(b), kit.Cols(8, kit.Gap(), s.noise(b), s.speed(b))))))
	case b.Err == nil:
		rows = append(rows, u.Panel(u.Section(u.T("Nothing is known yet"), "", u.Soft(u.T("Ask the board what it is: it takes a second or two.")))))
	}
	if !b.Local {
		rows = append(rows, u.Panel(s.partings(b)))
	}
	return container.NewBorder(kit.Pad(0, 0, 10, 0, kit.Cols(10, tools...)), nil, nil, nil, container.NewVScroll(kit.Pad(0, 10, 0, 0, kit.Rows(10, rows...))))
}

// checkUp lists what is wrong, with the command that mends it, then what is right.
func (s *screen) checkUp(b *app.Board) fyne.CanvasObject {
	u := s.u
	bad, good := problems(app.BoardFindings(b.Facts))
	note := u.T("everything is right")
	if len(bad) > 0 {
		note = u.F("points to look at: %d", len(bad))
	}
	var rows []fyne.CanvasObject
	for _, x := range bad {
		rows = append(rows, s.mended(b, x, s.finding(x, "warning", "warning")))
		if x.Fix != "" {
			rows = append(rows, s.fix(x.Fix))
		}
	}
	for _, x := range good {
		rows = append(rows, s.mended(b, x, s.finding(x, "check", "success")))
	}
	return u.Section(u.T("Check-up"), note, kit.Rows(6, rows...))
}

func (s *screen) finding(x app.TargetFinding, icon, token string) fyne.CanvasObject {
	u := s.u
	return kit.Cols(8, kit.Icon(icon, token, 14), kit.Fixed(118, 0, u.Dense(s.say.Say(x.Name))), kit.Flex(u.Soft(s.say.Say(x.Why))))
}

// fix is what to do, to be copied.
func (s *screen) fix(text string) fyne.CanvasObject {
	u := s.u
	line := u.Soft(s.say.Say(text))
	if strings.HasPrefix(text, "sudo ") || strings.HasPrefix(text, "fettle ") {
		line.Mono()
	}
	copyIt := u.NewButton(kit.Link, "copy", u.T("Copy"), func() { fyne.CurrentApp().Clipboard().SetContent(text) }).Small()
	return kit.Pad(0, 0, 2, 22, container.NewStack(kit.Plate(u.Theme.Bg3, u.Theme.Bg3, 5), kit.Pad(2, 6, 2, 10, kit.Cols(8, kit.Flex(line), copyIt))))
}

// speed measures what facts alone do not say.
func (s *screen) speed(b *app.Board) *kit.Button {
	u := s.u
	speed := u.NewButton(kit.Outline, "clock", u.T("Measure memory and storage"), func() { s.do.MeasureBoard(b.Name) }).Small()
	speed.SetOff(b.Busy, u.T("the board is busy"))
	return speed
}

// noise compares identical code on the board.
func (s *screen) noise(b *app.Board) *kit.Button {
	u := s.u
	noise := u.NewButton(kit.Outline, "ab", u.T("Measure the noise"), func() { s.do.MeasureNoise(b.Name) }).Small()
	noise.SetOff(b.Busy, u.T("the board is busy"))
	return noise
}

// factGrid shows the facts in two columns.
func (s *screen) factGrid(b *app.Board) fyne.CanvasObject {
	all := s.facts(b)
	half := (len(all) + 1) / 2
	return container.NewGridWithColumns(2, kit.Pad(0, 14, 0, 0, s.u.Facts(all[:half])), kit.Pad(0, 0, 0, 14, s.u.Facts(all[half:])))
}

// facts are all that is known; what the board does not say is a dash.
func (s *screen) facts(b *app.Board) []kit.Fact {
	u, f := s.u, b.Facts
	or := func(text string) kit.Fact {
		if text == "" {
			return kit.Fact{Value: kit.Absent, Token: "text3"}
		}
		return kit.Fact{Value: text}
	}
	var cores []string
	for _, g := range groupCores(f) {
		t := fmt.Sprintf("%s × %d", g.part, g.n)
		if g.maxHz > 0 {
			t += " · " + kit.Hz(g.maxHz)
		}
		cores = append(cores, t)
	}
	clock, temperature, load, memory, storage, throttle, volts := "", "", "", "", "", "", ""
	if len(f.Hz) > 0 {
		clock = kit.Hz(slices.Min(f.Hz))
		if hi := kit.Hz(slices.Max(f.Hz)); hi != clock {
			clock += "–" + hi
		}
	}
	if f.TemperatureC != nil {
		temperature = fmt.Sprintf("%.1f °C", *f.TemperatureC)
	}
	if f.Load != nil {
		load = fmt.Sprintf("%.2f", *f.Load)
	}
	if f.MemoryFree != nil {
		memory = u.F("%s free of %s", kit.Bytes(*f.MemoryFree), kit.Bytes(f.MemoryBytes))
	} else if f.MemoryBytes > 0 {
		memory = kit.Bytes(f.MemoryBytes)
	}
	if f.StorageFree >= 0 {
		storage = u.F("%s free", kit.Bytes(f.StorageFree))
	}
	if f.Throttled != nil {
		throttle = map[bool]string{true: u.T("throttled"), false: u.T("none")}[*f.Throttled]
	}
	if f.Undervoltage != nil {
		volts = map[bool]string{true: u.T("too low"), false: u.T("right")}[*f.Undervoltage]
	}
	var runtimes []string
	for _, r := range f.Runtimes {
		if r.Present {
			runtimes = append(runtimes, r.Name+" "+r.Version)
		}
	}
	var guards []string
	for _, g := range f.Agent.Guards {
		guards = append(guards, u.T(g))
	}
	holder := u.T("nobody else")
	if f.Lease != nil {
		holder = u.F("%s, for %d s", f.Lease.Holder, f.Lease.ForS)
	}
	agent := f.Agent.Version
	if len(f.Agent.SHA256) >= 8 {
		agent += " · " + f.Agent.SHA256[:8]
	}
	memorySpeed, storageSpeed, caches, power, libraries, clockError := s.more(f)
	var out []kit.Fact
	for _, x := range []struct{ key, value string }{
		{"chip", f.SoC}, {"cores", strings.Join(cores, " + ")}, {"instruction sets", strings.Join(f.ISA, " ")}, {"clock now", clock}, {"governor", f.Governor},
		{"temperature", temperature}, {"throttle", throttle}, {"supply voltage", volts}, {"load", load}, {"memory", memory}, {"storage of the agent", storage},
		{"system", strings.TrimSpace(f.OS + " · " + f.Kernel)}, {"engines", strings.Join(runtimes, ", ")}, {"agent", agent},
		{"caches", caches}, {"memory speed", memorySpeed}, {"storage speed", storageSpeed}, {"power now", power}, {"other engines", libraries}, {"clock error", clockError},
		{"noise of identical code", noiseText(b.Noise)}, {"who measures", holder}, {"given up by the agent", strings.Join(guards, ", ")},
	} {
		y := or(x.value)
		y.Key = u.T(x.key)
		out = append(out, y)
	}
	return out
}

// noiseText is the change that identical code showed; "": never measured.
func noiseText(n *app.NoiseFloor) string {
	if n == nil {
		return ""
	}
	return fmt.Sprintf("±%s · %s %d × %d", kit.Percent(n.Floor), "n =", n.Pairs, n.Runs)
}

// partings are the two ways to let a board go.
func (s *screen) partings(b *app.Board) fyne.CanvasObject {
	u := s.u
	forget := u.NewButton(kit.Outline, "close", u.T("Forget"), func() {
		u.Confirm(u.F("Forget %s?", b.Name), u.T("Address and host key leave this computer. The agent and what was deployed stay on the board."), u.T("Forget"), func() { s.do.ForgetBoard(b.Name, false) })
	})
	remove := u.NewButton(kit.Outline, "minus", u.T("Remove agent and forget"), func() {
		u.Confirm(u.F("Remove everything from %s?", b.Name), u.T("The agent and all deployed models are taken off the board, then the board is forgotten."), u.T("Remove"), func() { s.do.ForgetBoard(b.Name, true) })
	})
	return kit.Cols(10, u.Soft(u.T("No longer needed?")).Whole(), kit.Gap(), forget, remove)
}
