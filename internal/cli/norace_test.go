//go:build !race

package cli

// slowed is how many times slower the program is here than people have it.
const slowed = 1
