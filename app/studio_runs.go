package app

// keptRuns are the runs of a model that the history has.
func (a *App) keptRuns(string) []*Run { return nil }
