package start

import (
	"strings"
	"time"

	"fettle/app"
	"fettle/views/kit"
)

// card is a recent model as the start screen shows it.
type card struct {
	Path, Name string
	When       time.Time
	Board      string // "": never measured
	P50        string
	Seal       string
	File       string
	Accuracy   string
	Goal       string
	Step       string
	Past       []float64 // median times, 0 to 1 of the longest
	GoalAt     float64   // on the same scale; below zero: none
}

// cards lists recent models, the newest first.
func cards(recent []app.Recent, limit int) []card {
	var out []card
	for _, r := range recent {
		if len(out) == limit {
			break
		}
		c := card{Path: r.Path, Name: r.Name, When: r.Opened, Board: r.Target, Seal: r.Seal, Step: r.Step, P50: kit.MsPtr(r.P50Ns), File: kit.Bytes(r.Bytes), Accuracy: kit.Absent, GoalAt: -1}
		if r.Score != nil {
			c.Accuracy = kit.Percent(*r.Score)
		}
		top := 0.0
		for _, ns := range r.Past {
			top = max(top, ns)
		}
		if r.Goals.P99Ns != nil {
			c.Goal = "≤ " + kit.Ms(*r.Goals.P99Ns)
			top = max(top, *r.Goals.P99Ns)
		}
		for _, ns := range r.Past {
			c.Past = append(c.Past, ns/top)
		}
		if r.Goals.P99Ns != nil && len(r.Past) > 0 {
			c.GoalAt = *r.Goals.P99Ns / top
		}
		out = append(out, c)
	}
	return out
}

// sampleRow is a built-in network.
type sampleRow struct {
	Name, Title, About string
	Trained            bool
}

// samples splits "ResNet-18, 224x224" into a name and what is said of it.
func samples(list []app.SampleInfo) []sampleRow {
	var out []sampleRow
	for _, n := range list {
		title, about, ok := strings.Cut(n.Title, ", ")
		if t, a, colon := strings.Cut(n.Title, ": "); colon {
			title, about, ok = t, a, true
		}
		if !ok {
			title, about, _ = strings.Cut(n.Title, " for ")
		}
		out = append(out, sampleRow{Name: n.Name, Title: title, About: about, Trained: n.Trained})
	}
	return out
}

// boardCard is a board in the short list of the start screen.
type boardCard struct {
	Name, Facts, State string // State is a key of the translations
	Icon, Token        string
	Local              bool
}

func boards(list []*app.Board, limit int) []boardCard {
	var out []boardCard
	for _, b := range list {
		if len(out) == limit {
			break
		}
		c := boardCard{Name: b.Name, Facts: b.Address, Local: b.Local, State: "not asked yet", Icon: "seal-none", Token: "text3"}
		if f := b.Facts; f != nil {
			c.Facts = strings.TrimPrefix(f.SoC+" · "+f.Arch, " · ")
		}
		switch {
		case b.Err != nil:
			c.State, c.Icon, c.Token = "does not answer", "error", "danger"
		case b.Connected, b.Local:
			c.State, c.Icon, c.Token = "ready", "check", "success"
		}
		out = append(out, c)
	}
	return out
}
