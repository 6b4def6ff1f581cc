//go:build race

package graph

// raced tells that the race detector slows everything down: limits of time say nothing.
const raced = true
