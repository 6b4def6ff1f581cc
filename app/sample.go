package app

import (
	"fettle/model"
	"fettle/sample"
)

// SampleInfo is one built-in network.
type SampleInfo = sample.Network

// Samples lists the built-in networks; the first one is trained.
func (a *App) Samples() []SampleInfo { return sample.List() }

// Sample builds a network by name; "" is the trained one.
func (a *App) Sample(name string) (*model.Model, error) {
	if name == "" {
		name = sample.Name
	}
	return sample.Build(name)
}
