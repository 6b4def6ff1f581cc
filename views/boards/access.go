package boards

import (
	"fmt"
	"strings"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"fettle/app"
	"fettle/views/kit"
)

// mendNames are what the buttons of the fixes say.
func mendNames() map[string]string {
	return map[string]string{"pin-clock": "Pin the clock", "restore-clock": "Restore the clock", "cool-down": "Wait until it is cool", "free-space": "Free space"}
}

// mended is a finding with the button that mends it, where one needs no terminal.
func (s *screen) mended(b *app.Board, x app.TargetFinding, row fyne.CanvasObject) fyne.CanvasObject {
	name := mendNames()[x.Do]
	if name == "" {
		return row
	}
	u := s.u
	mend := u.NewButton(kit.Outline, "", u.T(name), func() { s.do.FixBoard(b.Name, x.Do) }).Small()
	mend.SetOff(b.Busy, u.T("the board is busy"))
	return container.NewBorder(nil, nil, nil, mend, row)
}

// changes is the log of what was changed on the board from here, the last of each kind with what undoes it.
func (s *screen) changes(b *app.Board) fyne.CanvasObject {
	u := s.u
	var rows []fyne.CanvasObject
	seen := map[string]bool{}
	for _, r := range b.Fixes[:min(len(b.Fixes), 6)] {
		icon, token, text := "check", "success", r.Before+" → "+r.After
		if r.Failed != "" {
			icon, token, text = "warning", "warning", r.Failed
		}
		name := u.T(mendNames()[r.Fix])
		row := kit.Cols(8, kit.Icon(icon, token, 14), u.Caption(time.Unix(r.Unix, 0).Format("2006-01-02 15:04")).Whole(), u.Dense(name).Whole(), kit.Flex(u.Soft(text)))
		if undo := mendNames()[r.Undo]; undo != "" && r.Failed == "" && !seen["undo"] {
			back := u.NewButton(kit.Outline, "undo", u.T(undo), func() { s.do.FixBoard(b.Name, r.Undo) }).Small()
			back.SetOff(b.Busy, u.T("the board is busy"))
			rows = append(rows, container.NewBorder(nil, nil, nil, back, row))
			seen["undo"] = true
			continue
		}
		rows = append(rows, row)
	}
	return u.Section(u.T("Changed from here"), "", kit.Rows(6, rows...))
}

// access is who measures on the board and whose deployments it takes.
func (s *screen) access(b *app.Board) fyne.CanvasObject {
	u := s.u
	ask := u.NewButton(kit.Outline, "redo", u.T("Ask the board"), func() { s.do.AskAccess(b.Name) }).Small()
	ask.SetOff(b.Busy, u.T("the board is busy"))
	head := container.NewBorder(nil, nil, nil, ask, u.Strong(u.T("Who uses it")))
	a := b.Access
	if a == nil {
		return kit.Rows(6, head, u.Soft(u.T("Not asked yet: who measures on it now, and whose deployments it takes.")))
	}
	rows := []fyne.CanvasObject{head}
	who := u.T("free")
	switch l := a.Lease; {
	case l.Held:
		who = u.F("%s measures, for %s so far", l.Holder, kit.Elapsed(time.Duration(l.ForS)*time.Second))
	case l.Holder != "":
		who = u.F("free; %s measured last", l.Holder)
	}
	if a.Lease.Asked != "" {
		who += " · " + u.F("%s waits", a.Lease.Asked)
	}
	line := kit.Cols(8, kit.Fixed(118, 0, u.Dense(u.T("measuring"))), kit.Flex(u.Soft(who)))
	want := u.NewButton(kit.Outline, "", u.T("Ask for the board"), func() { s.do.RequestBoard(b.Name) }).Small()
	want.SetOff(b.Busy || !a.Lease.Held, u.T("nobody measures on it"))
	take := u.NewButton(kit.Outline, "warning", u.T("Take it"), func() {
		u.Confirm(u.F("Take %s from %s?", s.title(b), a.Lease.Holder), u.T("The measurement that runs there ends without a result. Asking for the board lets it end first."), u.T("Take it"), func() { s.do.TakeBoard(b.Name) })
	}).Small()
	take.SetOff(b.Busy || !a.Lease.Held, u.T("nobody measures on it"))
	rows = append(rows, container.NewBorder(nil, nil, nil, kit.Cols(6, want, take), line))
	if a.Lease.Held {
		rows = append(rows, u.Note(u.T("A measurement of yours that you start now waits, and begins by itself when the board is free.")))
	}
	if len(a.Keys) == 0 {
		rows = append(rows, u.Soft(u.T("It takes deployments of whoever deploys first; that key is kept.")))
	}
	for _, k := range a.Keys {
		name := short(k)
		if k == a.Own {
			name += " · " + u.T("yours")
		}
		row := kit.Cols(8, kit.Fixed(118, 0, u.Dense(u.T("takes models of"))), kit.Flex(u.Soft(name).Mono()))
		drop := u.NewButton(kit.Outline, "minus", u.T("No longer"), func() {
			u.Confirm(u.T("Take no more deployments of this key?"), k, u.T("No longer"), func() { s.do.TrustKey(b.Name, k, true) })
		}).Small()
		drop.SetOff(b.Busy || len(a.Keys) == 1, u.T("it is the only key"))
		rows = append(rows, container.NewBorder(nil, nil, nil, drop, row))
	}
	key := widget.NewEntry()
	key.SetPlaceHolder("ed25519:…")
	add := u.NewButton(kit.Outline, "plus", u.T("Take theirs too"), func() {
		if t := strings.TrimSpace(key.Text); t != "" {
			s.do.TrustKey(b.Name, t, false)
		}
	}).Small()
	add.SetOff(b.Busy || len(a.Keys) == 0, u.T("deploy something first"))
	rows = append(rows, container.NewBorder(nil, nil, kit.Fixed(118, 0, u.Dense(u.T("another key"))), add, key))
	return kit.Rows(6, rows...)
}

// first is how long it took from nothing to the first profile, part by part.
func (s *screen) first(b *app.Board) fyne.CanvasObject {
	u, f := s.u, b.First
	seconds := func(ns int64) string { return fmt.Sprintf("%.1f s", float64(ns)/1e9) }
	facts := []kit.Fact{{Key: u.T("host key, login, agent, facts"), Value: seconds(f.AddNs)}}
	if f.KeyNs > 0 {
		facts = append(facts, kit.Fact{Key: u.T("key put on the board"), Value: seconds(f.KeyNs)})
	}
	note := u.T("not measured yet: the first profile on it is counted from the moment of adding")
	if f.ProfileNs > 0 {
		facts = append(facts, kit.Fact{Key: u.T("first profile"), Value: seconds(f.ProfileNs) + " · p50 " + kit.MsPtr(f.P50Ns)})
		facts = append(facts, kit.Fact{Key: u.T("from nothing to the first profile"), Value: seconds(f.TotalNs)})
		note = u.F("%s from adding it", seconds(f.TotalNs))
	}
	return u.Section(u.T("First profile"), note, u.Facts(facts))
}

// short is the start of a key, enough to compare by eye.
func short(key string) string {
	if len(key) > 28 {
		return key[:28] + "…"
	}
	return key
}

// more are facts that not every board has.
func (s *screen) more(f *app.TargetFacts) (memory, storage, caches, power, libraries, clock string) {
	u := s.u
	if m := f.Memory; m != nil {
		memory = fmt.Sprintf("%.3g GB/s", max(m.ReadBps, m.CopyBps)/1e9)
	}
	if d := f.Storage; d != nil {
		storage = u.F("%.3g MB/s written, %.3g read", d.WriteBps/1e6, d.ReadBps/1e6)
	}
	var parts []string
	for _, c := range f.Caches {
		parts = append(parts, fmt.Sprintf("L%d %s", c.Level, kit.Bytes(c.Bytes)))
	}
	caches = strings.Join(parts, " · ")
	parts = nil
	for _, x := range f.Sensors {
		if x.Watts > 0 {
			parts = append(parts, fmt.Sprintf("%s %.2f W", x.Name, x.Watts))
		} else {
			parts = append(parts, x.Name)
		}
	}
	power = strings.Join(parts, " · ")
	parts = nil
	for _, l := range f.Libraries {
		parts = append(parts, strings.TrimSpace(l.Name+" "+l.Version))
	}
	libraries = strings.Join(parts, ", ")
	if c := f.Clock; c != nil {
		clock = u.F("%.3g s ahead, within %.2g s", float64(c.AheadNs)/1e9, float64(c.WithinNs)/1e9)
	}
	return memory, storage, caches, power, libraries, clock
}
