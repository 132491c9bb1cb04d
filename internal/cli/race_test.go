//go:build race

package cli

// slowed is how many times slower the program is with the race detector; limits of time are promised without it.
const slowed = 4
