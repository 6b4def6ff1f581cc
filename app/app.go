// Package app is the product without a window: what the studio and the command line both call. It joins the packages
// below it that do not know each other: models, passes, engines, boards, measuring and history.
//
// It imports no window toolkit, opens no socket itself and writes no SQL. Services are methods of App, one file a
// subject; the studio's state, commands and jobs are in state.go, commands.go and jobs.go. Start reading at App.
package app

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"fettle/history"
	"fettle/internal/fail"
	"fettle/model"
	"fettle/model/onnx"
	"fettle/model/tflite"
	"fettle/optimizer"
	"fettle/runtimes"
	"fettle/runtimes/native"
)

// Version is the version of Fettle, in files it writes and in the agent's greeting.
const Version = "0.1.0"

// App is one running Fettle: its home folder, its engine and its history.
type App struct {
	home   string
	engine runtimes.Runtime
	cache  *optimizer.Cache
	self   []string // how to start this program as an agent; nil: the embedded one
	own    bool     // always self
	isa    string   // poorer instruction set to use
	kept   bool     // the home folder was named: everything lies in it

	mu    sync.Mutex
	store *history.Store

	predicts predictors
}

// Options say where an App keeps its things and what it may use.
type Options struct {
	Home string   // folder of targets, history and cache; "" for $FETTLE_HOME or the XDG data folder
	ISA  string   // poorer instruction set to use, for tests: $FETTLE_CPU
	Self []string // how to start this program as an agent (AgentMain), where no agent is built in
	Own  bool     // use Self even where an agent is built in, which may be older: for tests of this very build
}

// cachedSteps is how many derived models an App keeps: enough to undo and redo through a long session.
const cachedSteps = 64

// Open makes an App. It creates nothing on disk until something is to be kept.
func Open(opt Options) (*App, error) {
	home := opt.Home
	if home == "" {
		home = os.Getenv("FETTLE_HOME")
	}
	kept := home != ""
	if home == "" {
		base := os.Getenv("XDG_DATA_HOME")
		if base == "" {
			dir, err := os.UserHomeDir()
			if err != nil {
				return nil, fail.New(fail.NotFound, "no home folder: %v", err).Try("set FETTLE_HOME to a folder that can be written")
			}
			base = filepath.Join(dir, ".local", "share")
		}
		home = filepath.Join(base, "fettle")
	}
	eng, err := native.New(opt.ISA)
	if err != nil {
		return nil, err
	}
	return &App{home: home, self: opt.Self, own: opt.Own, isa: strings.Split(opt.ISA, ",")[0], kept: kept, engine: eng, cache: optimizer.NewCache(cachedSteps)}, nil
}

// Home is the folder where Fettle keeps targets, history and cache.
func (a *App) Home() string { return a.home }

// Close ends what runs in the background.
func (a *App) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.store == nil {
		return nil
	}
	err := a.store.Close()
	a.store = nil
	return err
}

// ensureHome creates the home folder, readable by the user only.
func (a *App) ensureHome() error {
	if err := os.MkdirAll(a.home, 0o700); err != nil {
		return fail.New(fail.Denied, "cannot create %s: %v", a.home, err).Try("set FETTLE_HOME to a folder that can be written")
	}
	return nil
}

// Load opens a model by its content: ONNX, plain or packed, or TensorFlow Lite.
func (a *App) Load(ctx context.Context, path string) (*model.Model, error) {
	read := func() (*model.Model, error) { return onnx.ReadFile(ctx, path, onnx.DefaultBudget()) }
	if isPacked(path) {
		read = func() (*model.Model, error) { return loadPacked(ctx, path) }
	} else if isTFLite(path) {
		read = func() (*model.Model, error) { return tflite.ReadFile(ctx, path, tflite.DefaultBudget()) }
	}
	m, err := read()
	if err != nil {
		return nil, fail.In(err, "open "+filepath.Base(path), fail.Where{File: path})
	}
	return m, nil
}

// Save writes a model; an unmodified one comes out byte for byte as it was read. A name that ends in .packed makes a packed file, .tflite
// one of TensorFlow Lite.
func (a *App) Save(path string, m *model.Model) error {
	write := onnx.WriteFile
	if wantsPacked(path) {
		write = savePacked
	} else if wantsTFLite(path) {
		write = func(path string, m *model.Model) error {
			_, err := saveTFLite(context.Background(), path, m)
			return err
		}
	}
	if err := write(path, m); err != nil {
		return fail.In(err, "save "+filepath.Base(path), fail.Where{File: path})
	}
	return nil
}
