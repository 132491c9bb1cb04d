//go:build !linux

package qnnworker

// IsWorker says whether this process was started to be a worker: never on this system.
func IsWorker() bool { return false }

// Work is not there on this system.
func Work() int { return 1 }
