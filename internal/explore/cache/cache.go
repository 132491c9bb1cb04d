// Package cache keeps what an exploration has found out, under hashes of all that it depends on, so that another one of the same model, pictures and
// recipe goes on where a first was killed.
package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"quantcheck/internal/explore/candidate"
	"quantcheck/internal/floatjson"
)

// Store keeps values by keys.
type Store interface {
	// Get gives a value; ok is false if it is not there.
	Get(ctx context.Context, key string) (value []byte, ok bool, err error)
	// Put keeps a value for good before it returns.
	Put(ctx context.Context, key, kind string, value []byte) error
}

// Cache holds the answers to questions about the candidates of one model.
type Cache struct {
	store Store
	base  string // of the keys
}

// New makes a cache for what is identified by a value that is written as JSON: the model, the pictures, the versions. With a store that is nil
// nothing is kept.
func New(store Store, identity any) (*Cache, error) {
	text, err := floatjson.Marshal(identity)
	return &Cache{store: store, base: string(text)}, err
}

// Key names a question about a candidate, whatever that is called.
func (c *Cache) Key(question string, about candidate.Candidate, more any) (string, error) {
	about.Spec.Name = ""
	text, err := floatjson.Marshal([]any{c.base, question, about.Spec, about.Part, more})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// Recall reads an answer; it is false if there is none. What cannot be read is found out again.
func (c *Cache) Recall(ctx context.Context, key string, answer any) (bool, error) {
	if c.store == nil {
		return false, nil
	}
	data, ok, err := c.store.Get(ctx, key)
	if err != nil || !ok {
		return false, err
	}
	return json.Unmarshal(data, answer) == nil, nil
}

// Remember keeps an answer; kind says what it is to people who look at the store.
func (c *Cache) Remember(ctx context.Context, key, kind string, answer any) error {
	if c.store == nil {
		return nil
	}
	data, err := floatjson.Marshal(answer)
	if err != nil {
		return err
	}
	return c.store.Put(ctx, key, kind, data)
}
