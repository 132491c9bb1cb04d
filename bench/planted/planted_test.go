//go:build slow

package main

import (
	"testing"
)

// So many planted faults lead, of so many that the networks have a place for: what make planted counts today.
const (
	found = 66
	among = 67
)

// The leading cause is right for nearly all faults that are planted, and none is named first of a network without it. `make slow` runs it.
func TestSlowPlantedFaultsLead(t *testing.T) {
	list, err := run(t.Context(), t.Output(), 1, func(string, string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	if right, of := count(list); right < found || of < among {
		t.Errorf("%d of %d faults lead, %d of %d did", right, of, found, among)
	}
}
