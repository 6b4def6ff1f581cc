package app

import "runtime"

// localArch is this processor as the agents name it.
func localArch() string {
	if runtime.GOARCH == "arm" {
		return "armv7"
	}
	return runtime.GOARCH
}
