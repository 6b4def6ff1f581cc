// Command fettle-agent is the board's side of Fettle: one static program that keeps models, runs them and times their
// layers. The desk copies it over, starts it over SSH and speaks with it on standard input and output; it listens
// nowhere.
package main

import (
	"fmt"
	"os"

	"fettle/remote/agent"
	"fettle/runtimes"
	"fettle/runtimes/native"
)

func main() {
	rt, err := native.New(os.Getenv("FETTLE_CPU"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "fettle-agent:", err)
		os.Exit(2)
	}
	os.Exit(agent.Main(agent.Config{Version: native.Version, Runtimes: []runtimes.Runtime{rt}}, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
