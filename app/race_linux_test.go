package app

import (
	"testing"
	"time"
)

// TestWaitingIsNoWork: of two sides that are measured in turns, one that waits for the processor is not slower than one that works.
func TestWaitingIsNoWork(t *testing.T) {
	waits, works, err := inTurns(func(side int) error {
		if side == 0 {
			time.Sleep(20 * time.Millisecond)
			return nil
		}
		for begin := threadClock(); threadClock()-begin < 4*time.Millisecond; {
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if works < 4 {
		t.Errorf("%.3f ms are counted of 4 of work", works)
	}
	if waits >= works {
		t.Errorf("%.3f ms are counted of waiting, %.3f of work", waits, works)
	}
}
