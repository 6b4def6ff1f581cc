package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/remote/deploy"
)

// FixRecord is one line of the log of what was changed on boards.
type FixRecord struct {
	Unix   int64  `json:"unix"`
	Target string `json:"target"`
	deploy.Fixed
	Failed string `json:"failed,omitempty"`
}

func (a *App) fixesPath() string { return filepath.Join(a.home, "fixes.log") }

// FixTarget mends one thing on a target that spoils measurements, without a terminal there, and writes down what it changed. FixRecord.Undo
// names what brings the state before back.
func (a *App) FixTarget(ctx context.Context, target, fix string, p task.Progress, asks Asks) (*FixRecord, error) {
	r := &FixRecord{Target: target}
	err := a.with(ctx, target, asks, p, func(c *deploy.Conn) (err error) {
		o := deploy.FixOptions{Progress: p}
		if asks.Password != nil {
			o.Password = func(ctx context.Context) (string, error) { return asks.Password(ctx, "sudo", target) }
		}
		r.Fixed, err = c.Fix(ctx, fix, o)
		return err
	})
	r.Unix = time.Now().Unix()
	if err != nil {
		r.Failed = fail.From(err).Why
	}
	if !fail.Is(err, fail.Usage) {
		if lerr := a.logFix(r); err == nil {
			err = lerr
		}
	}
	return r, err
}

func (a *App) logFix(r *FixRecord) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fail.New(fail.Internal, "%v", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	f, err := os.OpenFile(a.fixesPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.Write(append(b, '\n'))
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}
	if err != nil {
		return fail.New(fail.Denied, "the change was made, but not written down: %v", err).Doing("write %s", a.fixesPath())
	}
	return nil
}

// FixLog is what was changed on a target, the last change first; "" is every target.
func (a *App) FixLog(target string) ([]FixRecord, error) {
	b, err := os.ReadFile(a.fixesPath())
	if os.IsNotExist(err) {
		return []FixRecord{}, nil
	}
	if err != nil {
		return nil, fail.New(fail.Denied, "%v", err).Doing("read the log of fixes")
	}
	out := []FixRecord{}
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		var r FixRecord
		if json.Unmarshal(s.Bytes(), &r) == nil && (target == "" || r.Target == target) { // a line that was cut says nothing
			out = append([]FixRecord{r}, out...)
		}
	}
	return out, nil
}
