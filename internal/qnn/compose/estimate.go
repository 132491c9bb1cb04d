package compose

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
)

// Estimate is the compiler's, nil unless Compose was asked for it.
func (g *Graph) Estimate() *Estimate { return g.estimate }

// finalizeEstimated compiles the graph and reads the compiler's estimate from the profile.
func (g *Graph) finalizeEstimated() error {
	b := g.b
	var h hold
	defer h.release()
	profile := new(uint64)
	if err := b.call(profileCreate, uintptr(b.backend), detailed, at(&h, profile)); err != nil {
		return err
	}
	defer func() { _ = b.call(profileFree, uintptr(*profile)) }()
	trace := &struct{ option, on uint64 }{optrace, 1}
	if err := b.call(profileSetConfig, uintptr(*profile), at(&h, &[2]uint64{uint64(at(&h, trace)), 0})); err != nil {
		return err
	}
	if err := b.call(graphFinalize, uintptr(g.graph), uintptr(*profile), 0); err != nil {
		return err
	}
	g.estimate = &Estimate{Events: map[string]uint64{}}
	events, count := new(uint64), new(uint32)
	if err := b.call(profileGetEvents, uintptr(*profile), at(&h, events), at(&h, count)); err != nil {
		return err
	}
	return g.read(array[uint64](*events, int(*count)), 0)
}

// eventsDeep bounds how deep events lie in events.
const eventsDeep = 16

// read collects the estimate's numbers and its timeline from events and those below them.
func (g *Graph) read(events []uint64, depth int) error {
	if depth == eventsDeep {
		return errors.New("the profile's events have no end")
	}
	b := g.b
	for _, id := range slices.Clone(events) {
		var h hold
		event, extended := new(qnnEvent), new(qnnExtendedEvent)
		list, count := new(uint64), new(uint32)
		// Not every event has each of the three.
		if b.call(profileGetEventData, uintptr(id), at(&h, event)) == nil && event.kind >= estimateFirst && event.kind <= estimateLast {
			g.estimate.Events[textAt(event.name)] = event.value
		}
		if b.call(profileGetExtendedData, uintptr(id), at(&h, extended)) == nil && extended.unit == unitObject && extended.bytes > 0 {
			if doc := document(array[byte](extended.data, int(extended.bytes))); doc != nil {
				g.estimate.Trace = doc
			}
		}
		nested := b.call(profileGetSubEvents, uintptr(id), at(&h, list), at(&h, count)) == nil && *count > 0
		h.release()
		if nested {
			if err := g.read(array[uint64](*list, int(*count)), depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// document copies the JSON document that stands somewhere in a binary object, nil if there is none.
func document(object []byte) []byte {
	at := bytes.IndexByte(object, '{')
	if at < 0 {
		return nil
	}
	var doc json.RawMessage
	if err := json.NewDecoder(bytes.NewReader(object[at:])).Decode(&doc); err != nil {
		return nil
	}
	return slices.Clone(doc)
}
