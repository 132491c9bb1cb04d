// Package progress says how far long work has come.
package progress

// Reporter is told how far long work has come. Its methods are called from one goroutine.
type Reporter interface {
	// Phase begins a phase of so many steps.
	Phase(title string, steps int)
	// Step says how many steps of the phase are done.
	Step(done int)
}

// Silent is a progress that nobody sees.
type Silent struct{}

// Phase implements Reporter.
func (Silent) Phase(string, int) {}

// Step implements Reporter.
func (Silent) Step(int) {}
