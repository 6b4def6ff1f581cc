package app

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"fettle/internal/fail"
	"fettle/remote/board"
	"fettle/remote/deploy"
)

// speedFile is what was measured of a target's memory, on which processor.
type speedFile struct {
	CPU    string            `json:"cpu"`
	Memory board.MemorySpeed `json:"memory"`
}

func (a *App) speedPath() string { return filepath.Join(a.home, "speed.json") }

func (a *App) speeds() map[string]*speedFile {
	all := map[string]*speedFile{}
	b, err := os.ReadFile(a.speedPath())
	if err != nil || len(b) > 1<<20 || json.Unmarshal(b, &all) != nil {
		return map[string]*speedFile{} // it is measured again where it is asked for
	}
	return all
}

// memorySpeed is what was measured of a target's memory; nil: never, or on another processor.
func (a *App) memorySpeed(target, cpu string) *board.MemorySpeed {
	if target == "" {
		target = LocalTarget
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.speeds()[target]
	if s == nil || s.CPU != cpu || !(s.Memory.Best() > 0 && s.Memory.Best() < 1e13) {
		return nil
	}
	return &s.Memory
}

// TargetFactsAndSpeed also measures how fast the target's memory and storage are, and keeps the first for floors.
func (a *App) TargetFactsAndSpeed(ctx context.Context, name string, asks Asks) (f *TargetFacts, err error) {
	err = a.with(ctx, name, asks, nil, func(c *deploy.Conn) (err error) {
		f, err = c.FactsAndSpeed(ctx)
		return err
	})
	if err != nil || f.Memory == nil {
		return f, err
	}
	var parts []string
	for _, c := range f.Cores {
		if len(parts) == 0 || parts[len(parts)-1] != c.Part {
			parts = append(parts, c.Part)
		}
	}
	if name == "" {
		name = LocalTarget
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.speeds()
	all[name] = &speedFile{strings.Join(parts, " + "), *f.Memory}
	b, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return f, fail.New(fail.Internal, "%v", err)
	}
	return f, atomicWrite(a.speedPath(), b)
}
