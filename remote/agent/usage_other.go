//go:build !unix

package agent

import "fettle/remote/wire"

// usage has nothing to tell on this system.
func usage() wire.Block { return wire.Block{} }
