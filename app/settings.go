package app

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fettle/internal/fail"
)

// settingsFile is what window and command line share: settings and recent models.
type settingsFile struct {
	Schema   int
	Settings Settings
	Recent   []Recent
}

const recentLimit = 12

func (a *App) readSettings() settingsFile {
	f := settingsFile{Schema: 1, Settings: Settings{Language: systemLanguage(), Dark: true, Threads: 1}}
	b, err := os.ReadFile(filepath.Join(a.home, "settings.json"))
	if err != nil || len(b) > 1<<20 {
		return f
	}
	g := f
	if json.Unmarshal(b, &g) != nil || g.Schema != 1 {
		return f // a file from elsewhere never stops the program
	}
	if g.Settings.Threads < 1 || g.Settings.Threads > 64 {
		g.Settings.Threads = 1
	}
	return g
}

// writeSettings replaces the file in one step.
func (a *App) writeSettings(f settingsFile) error {
	if err := a.ensureHome(); err != nil {
		return err
	}
	b, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return fail.New(fail.Internal, "settings: %v", err)
	}
	return atomicWrite(filepath.Join(a.home, "settings.json"), b)
}

// atomicWrite writes beside path, flushes, and renames. The file is the user's alone.
func atomicWrite(path string, b []byte) error { return writeFile(path, b, 0o600) }

// exportFile is atomicWrite for what a user asked for by name: others may read it, as files of other programs.
func exportFile(path string, b []byte) error { return writeFile(path, b, 0o644) }

func writeFile(path string, b []byte, mode os.FileMode) error {
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() && !st.IsDir() {
		// a device or a pipe: a rename would put a file in its place
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_, err = f.Write(b)
			if cerr := f.Close(); err == nil {
				err = cerr
			}
		}
		if err != nil {
			return fail.New(fail.Denied, "cannot write %s: %v", path, err).Try("choose another file")
		}
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return fail.New(fail.Denied, "cannot write beside %s: %v", path, err).Try("check the folder's permissions and free space")
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fail.New(fail.Denied, "cannot write %s: %v", path, err).Try("check the folder's permissions and free space")
	}
	return nil
}

func systemLanguage() string {
	for _, k := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := os.Getenv(k); v != "" {
			if strings.HasPrefix(v, "zh") {
				return "zh"
			}
			return "en"
		}
	}
	return "en"
}

func (a *App) loadSettings() Settings { return a.readSettings().Settings }
func (a *App) loadRecent() []Recent   { return a.readSettings().Recent }

// recent is what is known of the model at path; a zero one where it was never open.
func (a *App) recent(path string) Recent {
	for _, r := range a.loadRecent() {
		if r.Path == path {
			return r
		}
	}
	return Recent{Path: path}
}

// forget takes a model out of the recent ones.
func (a *App) forget(path string) ([]Recent, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f := a.readSettings()
	f.Recent = slices.DeleteFunc(f.Recent, func(r Recent) bool { return r.Path == path })
	return f.Recent, a.writeSettings(f)
}

// remember puts a model at the top of the recent ones.
func (a *App) remember(r Recent) ([]Recent, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f := a.readSettings()
	r.Opened = time.Now()
	list := []Recent{r}
	for _, o := range f.Recent {
		if o.Path != r.Path && len(list) < recentLimit {
			list = append(list, o)
		}
	}
	f.Recent = list
	return list, a.writeSettings(f)
}

func (a *App) saveSettings(s Settings) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	f := a.readSettings()
	f.Settings = s
	return a.writeSettings(f)
}
