package workpool

import (
	"cmp"
	"sync"
)

// waits is how many calls wait for the disk at once, which takes many together: of 50 files that were synced, 16 at once took a quarter of
// the time of one after the other, and 64 no less. To sync the whole file system instead (syncfs) is no faster, and waits for what other
// programs write.
const waits = 16

// Together calls f for the numbers below n, several at once, and gives the first error in their order. It is for calls that wait for the
// disk, not for the processor.
func Together(n int, f func(k int) error) error {
	var wait sync.WaitGroup
	errs := make([]error, n)
	for first := range min(waits, n) {
		wait.Go(func() {
			for k := first; k < n; k += waits {
				errs[k] = f(k)
			}
		})
	}
	wait.Wait()
	return cmp.Or(errs...)
}
