//go:build !unix

package agent

import (
	"os"
	"path/filepath"

	"fettle/internal/cas"
)

// lock holds a file open; systems without flock refuse to remove it meanwhile.
func (s *Store) lock(name string) (func(), error) {
	f, err := claim(filepath.Join(s.dir, name))
	if err != nil {
		return nil, err
	}
	return func() { f.Close() }, nil
}

func claim(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	return f, cas.Explain(err)
}

func upSeconds() int64 { return 0 }

// ours has nothing to check on this system: folders of a user are the user's.
func ours(string) error { return nil }

func dup(f *os.File) (*os.File, error) { return os.Open(f.Name()) }
