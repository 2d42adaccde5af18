package shred

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pgveil/pgveil/seal"
)

// ErrWaits tells that no key is at hand: whoever may wait gets one.
var ErrWaits = errors.New("a data key has to be waited for")

// ErrAway tells that the store does not answer.
var ErrAway = errors.New("the store of data keys cannot be reached")

// Keys are the data keys that a process has at hand: some that wait to be used, and
// those that were used or fetched lately. It is safe for use by many.
type Keys struct {
	Store *Store
	Ring  func() *seal.Ring // the keys in use
	Log   *slog.Logger

	mu    sync.Mutex
	new   map[string]*supply // by class
	known map[seal.DataKeyID]*cached
	gone  uint64 // counts what was forgotten: what was fetched before is not kept after
}

// cached is a key at hand.
type cached struct {
	key   seal.DataKey
	until time.Time
}

// supply is the keys of a class that nobody has used yet.
type supply struct {
	keys   []seal.DataKey
	made   time.Time
	batch  int
	making *attempt // nil: none are being made
}

// attempt is the making of keys. Whoever waits for it learns of its failure.
type attempt struct {
	done chan struct{}
	err  error // to be read once done is closed
}

const (
	// cachedFor is how long a key that somebody destroyed may still open values here,
	// if the word of it is lost on the way.
	cachedFor = time.Minute
	maxCached = 1 << 17

	// freshFor is how long a key may wait to be used. Reap destroys none so new.
	freshFor   = 30 * time.Minute
	firstBatch = 256
)

// Take gives a key for a value of a class, which nobody gets again. hurried: the error
// is ErrWaits rather than that the store is waited for.
func (k *Keys) Take(ctx context.Context, class string, hurried bool) (seal.DataKey, error) {
	for {
		k.mu.Lock()
		s := k.supply(class)
		if time.Since(s.made) > freshFor {
			s.drop()
		}
		if n := len(s.keys); n > 0 {
			key := s.keys[n-1]
			s.keys[n-1].Forget()
			s.keys = s.keys[:n-1]
			if n-1 < s.batch/4 && s.making == nil {
				k.make(class, s)
			}
			k.keep(key)
			k.mu.Unlock()
			return key, nil
		}
		if s.making == nil {
			k.make(class, s)
		}
		made := s.making
		k.mu.Unlock()
		if hurried {
			return seal.DataKey{}, ErrWaits
		}
		select {
		case <-made.done:
			if made.err != nil {
				return seal.DataKey{}, made.err
			}
		case <-ctx.Done():
			return seal.DataKey{}, ctx.Err()
		}
	}
}

func (k *Keys) supply(class string) *supply {
	if k.new == nil {
		k.new = map[string]*supply{}
	}
	if k.new[class] == nil {
		k.new[class] = &supply{batch: firstBatch}
	}
	return k.new[class]
}

// drop forgets keys that waited for too long.
func (s *supply) drop() {
	for i := range s.keys {
		s.keys[i].Forget()
	}
	s.keys = nil
}

// make has more keys made: the more, the faster the last ones went.
func (k *Keys) make(class string, s *supply) {
	if time.Since(s.made) < 2*time.Second {
		s.batch = min(2*s.batch, maxMade)
	} else {
		s.batch = max(firstBatch, s.batch/2)
	}
	made, batch := &attempt{done: make(chan struct{})}, s.batch
	s.making = made
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), storeWithin)
		defer cancel()
		begun := time.Now()
		keys, err := k.Store.Make(ctx, k.Ring(), class, batch)
		k.mu.Lock()
		defer k.mu.Unlock()
		if s.making = nil; err != nil {
			made.err = fmt.Errorf("%w: %w", ErrAway, err)
			k.Log.Error("no data keys could be made", "class", class, "err", err)
		} else {
			s.keys, s.made = append(s.keys, keys...), begun
		}
		close(made.done)
	}()
}

// At gives a key that is at hand.
func (k *Keys) At(id seal.DataKeyID) (seal.DataKey, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.known[id]
	if c == nil || time.Now().After(c.until) {
		return seal.DataKey{}, false
	}
	return c.key, true
}

// Fetch gives keys to found: those at hand, and from the store those that are there.
// hurried: the error is ErrWaits where the store has to be asked.
func (k *Keys) Fetch(ctx context.Context, ids []seal.DataKeyID, hurried bool, found func(seal.DataKey)) error {
	var missing []seal.DataKeyID
	k.mu.Lock()
	now, gone := time.Now(), k.gone
	for _, id := range ids {
		if c := k.known[id]; c != nil && now.Before(c.until) {
			found(c.key)
		} else {
			missing = append(missing, id)
		}
	}
	k.mu.Unlock()
	switch {
	case len(missing) == 0:
		return nil
	case hurried:
		return ErrWaits
	}
	ctx, cancel := context.WithTimeout(ctx, storeWithin)
	defer cancel()
	var fresh []seal.DataKey
	if err := k.Store.Fetch(ctx, k.Ring(), missing, func(key seal.DataKey) { fresh = append(fresh, key) }); err != nil {
		var bad *seal.KeyError
		if errors.As(err, &bad) || errors.Is(err, seal.ErrDamaged) {
			return err
		}
		return fmt.Errorf("%w: %w", ErrAway, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range fresh {
		if k.gone == gone {
			k.keep(key)
		}
		found(key)
	}
	return nil
}

// keep has a key at hand from now on. The lock is held.
func (k *Keys) keep(key seal.DataKey) {
	if k.known == nil {
		k.known = map[seal.DataKeyID]*cached{}
	}
	if len(k.known) >= maxCached {
		k.evict()
	}
	k.known[key.ID] = &cached{key, time.Now().Add(cachedFor)}
}

// evict makes room: what is over goes, or else whatever comes first.
func (k *Keys) evict() {
	now, left := time.Now(), maxCached/8
	for id, c := range k.known {
		if now.After(c.until) || left > 0 {
			c.key.Forget()
			delete(k.known, id)
			left--
		}
	}
}

// Forget forgets keys; none named: all.
func (k *Keys) Forget(ids ...seal.DataKeyID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.gone++
	if len(ids) == 0 {
		for _, c := range k.known {
			c.key.Forget()
		}
		clear(k.known)
		return
	}
	for _, id := range ids {
		if c := k.known[id]; c != nil {
			c.key.Forget()
			delete(k.known, id)
		}
	}
}

// Destroy destroys keys in the store and here. n is how many there were.
func (k *Keys) Destroy(ctx context.Context, ids []seal.DataKeyID) (n int64, err error) {
	for len(ids) > 0 {
		some := ids[:min(len(ids), maxTold)]
		did, err := k.Store.Destroy(ctx, some)
		k.Forget(some...)
		if n += did; err != nil {
			return n, err
		}
		ids = ids[len(some):]
	}
	return n, nil
}

// Listen forgets what other processes destroy, until the context ends. While it
// cannot listen, keys are forgotten when their time is over.
func (k *Keys) Listen(ctx context.Context) {
	for ctx.Err() == nil {
		if err := k.listen(ctx); err != nil && ctx.Err() == nil {
			k.Log.Warn("what is destroyed of data keys is not heard at once", "err", err)
		}
		k.Forget()
		select {
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
		}
	}
}

func (k *Keys) listen(ctx context.Context) error {
	conn, err := k.Store.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer func() {
		_ = conn.Conn().Close(context.Background()) // it listens: nobody else is to have it
		conn.Release()
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+destroyed); err != nil {
		return err
	}
	k.Forget()
	for {
		n, err := conn.Conn().WaitForNotification(ctx)
		if err != nil {
			return err
		}
		var ids []seal.DataKeyID
		for _, word := range strings.Fields(n.Payload) {
			id, err := strconv.ParseUint(word, 16, 64)
			if err != nil {
				ids = nil
				break
			}
			ids = append(ids, seal.DataKeyID(id))
		}
		k.Forget(ids...)
	}
}
