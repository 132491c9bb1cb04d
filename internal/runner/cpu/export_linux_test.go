package cpu

// LimitModels bounds what the models of sessions may take.
func (e *Engine) LimitModels(bytes int64) {
	e.shelf.mu.Lock()
	defer e.shelf.mu.Unlock()
	e.shelf.limit = bytes
}

// Freed is how many sessions were freed to make room for others, and Models what those that are open take.
func (e *Engine) Freed() (sessions int, models int64) {
	e.shelf.mu.Lock()
	defer e.shelf.mu.Unlock()
	return e.shelf.freed, e.shelf.bytes
}
