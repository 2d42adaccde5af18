package rewrite

import "sync"

// cacheKey is everything that a plan depends on within one engine.
type cacheKey struct {
	access uint64
	path   string
	sql    string
}

// cache keeps values in two generations: when the young one is full it becomes
// the old one, and what is used again comes back. So a look-up writes nothing,
// and what is not used goes in the end.
type cache[V any] struct {
	mu         sync.RWMutex
	young, old map[cacheKey]V
	bytes      int // of the young generation, estimated
	limit      int
}

func newCache[V any](limit int) *cache[V] {
	return &cache[V]{young: map[cacheKey]V{}, limit: limit / 2}
}

// get finds a value. The conversions inside the index expressions do not
// allocate.
func (c *cache[V]) get(access uint64, path string, sql []byte) (V, bool) {
	c.mu.RLock()
	v, ok := c.young[cacheKey{access: access, path: path, sql: string(sql)}]
	if ok {
		c.mu.RUnlock()
		return v, true
	}
	v, ok = c.old[cacheKey{access: access, path: path, sql: string(sql)}]
	c.mu.RUnlock()
	if ok {
		c.put(cacheKey{access, path, string(sql)}, v)
	}
	return v, ok
}

// overhead is what an entry takes beside its text, roughly.
const overhead = 1 << 10

func (c *cache[V]) put(k cacheKey, v V) {
	size := 3*len(k.sql) + overhead
	if size > c.limit/8 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bytes+size > c.limit {
		c.old, c.young, c.bytes = c.young, map[cacheKey]V{}, 0
	}
	c.young[k] = v
	c.bytes += size
}
