package app

import (
	"fettle/remote/board"
	"fettle/remote/deploy"
	"fettle/remote/wire"
)

// TargetFacts is what is known of a board.
type TargetFacts = board.Facts

// TargetFinding is one row of a board's check-up.
type TargetFinding = board.Finding

// Deployment is a model on a board. Sent is set by Deploy only: the bytes that travelled.
type Deployment struct {
	Target string `json:"target"`
	wire.Deployment
	Sent    int64         `json:"bytes_sent"`
	Service *ServiceState `json:"service,omitempty"`
	Notes   []string      `json:"notes,omitempty"`
	// Upload says how the chunks travelled; nil: nothing had to be sent.
	Upload *deploy.Upload `json:"upload,omitempty"`
}

// ServiceState says how a deployment is kept running.
type ServiceState = wire.ServiceState
