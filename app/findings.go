package app

import "fettle/remote/board"

// BoardFindings is the check-up of a board: what of it spoils measurements or deployments, and how to mend it.
func BoardFindings(f *TargetFacts) []TargetFinding { return board.Doctor(*f) }
