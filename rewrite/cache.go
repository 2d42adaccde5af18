package rewrite

import (
	"sync"

	"github.com/pgveil/pgveil/rewrite/parse"
)

// cacheKey is everything that a plan depends on within one engine.
type cacheKey struct {
	access uint64
	path   string
	sql    string
}

type cacheEntry struct {
	plan *Plan
	err  error
}

// cache keeps plans, and refusals, in two generations: when the young one is
// full it becomes the old one, and what is used again comes back. So a look-up
// writes nothing, and what is not used goes in the end.
type cache struct {
	mu         sync.RWMutex
	young, old map[cacheKey]cacheEntry
	bytes      int // of the young generation, estimated
	limit      int
}

func newCache(limit int) *cache {
	return &cache{young: map[cacheKey]cacheEntry{}, limit: limit / 2}
}

func (c *cache) get(k cacheKey) (*Plan, error, bool) {
	c.mu.RLock()
	e, ok := c.young[k]
	if !ok {
		if e, ok = c.old[k]; ok {
			c.mu.RUnlock()
			c.put(k, e.plan, e.err)
			return e.plan, e.err, true
		}
	}
	c.mu.RUnlock()
	return e.plan, e.err, ok
}

// getBytes is get for a text that is not a string yet. The conversions inside
// the index expressions do not allocate.
func (c *cache) getBytes(access uint64, path string, sql []byte) (*Plan, error, bool) {
	c.mu.RLock()
	e, ok := c.young[cacheKey{access: access, path: path, sql: string(sql)}]
	c.mu.RUnlock()
	if ok {
		return e.plan, e.err, true
	}
	return c.get(cacheKey{access: access, path: path, sql: string(sql)})
}

// put keeps a plan or a refusal. Bugs are not kept: they may pass.
func (c *cache) put(k cacheKey, p *Plan, err error) {
	size := 2*len(k.sql) + 512
	if _, refused := err.(*Refusal); err != nil && !refused || size > c.limit || len(k.sql) > parse.MaxText/64 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bytes+size > c.limit {
		c.old, c.young, c.bytes = c.young, map[cacheKey]cacheEntry{}, 0
	}
	c.young[k] = cacheEntry{plan: p, err: err}
	c.bytes += size
}
