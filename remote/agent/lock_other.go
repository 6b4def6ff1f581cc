//go:build !unix

package agent

import (
	"os"
	"path/filepath"

	"fettle/internal/cas"
)

// lock holds a file open; systems without flock refuse to remove it meanwhile.
func (s *Store) lock(name string) (func(), error) {
	f, err := os.OpenFile(filepath.Join(s.dir, name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, cas.Explain(err)
	}
	return func() { f.Close() }, nil
}

// ours has nothing to check on this system: folders of a user are the user's.
func ours(string) error { return nil }
