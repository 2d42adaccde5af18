package proxy

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgveil/pgveil/rewrite"
)

// Enforcer holds the engine in force and replaces it whole: when the schema
// changed, when the policy did, on a timer.
type Enforcer struct {
	load    func(ctx context.Context) (*rewrite.Engine, error)
	version func(ctx context.Context) (uint64, error)

	engine atomic.Pointer[rewrite.Engine]
	stale  atomic.Bool // the schema changed since the catalog was loaded

	mu       sync.Mutex // one load at a time; guards what follows
	seen     uint64     // the catalog's version when it was loaded
	lastLook time.Time
	lastErr  error // of the last look
}

// lookEvery bounds how often unknown names may make us look for a changed
// schema: any client can send one.
const lookEvery = time.Second

// NewEnforcer makes an enforcer and loads its first engine. load builds one
// from the policy and the catalog as they are; version tells cheaply whether
// the catalog changed.
func NewEnforcer(ctx context.Context, load func(context.Context) (*rewrite.Engine, error), version func(context.Context) (uint64, error)) (*Enforcer, error) {
	e := &Enforcer{load: load, version: version}
	if err := e.Reload(ctx); err != nil {
		return nil, err
	}
	return e, nil
}

// Engine gives the engine in force.
func (e *Enforcer) Engine() *rewrite.Engine { return e.engine.Load() }

// Reload builds a whole new engine and puts it in force. On an error the old
// one stays.
func (e *Enforcer) Reload(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.reload(ctx)
}

func (e *Enforcer) reload(ctx context.Context) error {
	// A change that comes after this point makes the new catalog stale again,
	// and the version is the one before it was loaded.
	e.stale.Store(false)
	seen, err := e.version(ctx)
	if err != nil {
		e.stale.Store(true)
		return fmt.Errorf("version of the catalog: %w", err)
	}
	engine, err := e.load(ctx)
	if err != nil {
		e.stale.Store(true)
		return err
	}
	e.seen = seen
	e.engine.Store(engine)
	return nil
}

// Look loads the catalog anew when the schema changed. It tells whether a new
// engine is in force.
func (e *Enforcer) Look(ctx context.Context) (bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.lastErr != nil && time.Since(e.lastLook) < lookEvery {
		return false, e.lastErr // every statement asks; the answer will hardly be another
	}
	e.lastLook = time.Now()
	fresh, err := e.look(ctx)
	e.lastErr = err
	return fresh, err
}

func (e *Enforcer) look(ctx context.Context) (bool, error) {
	seen, err := e.version(ctx)
	if err != nil {
		return false, fmt.Errorf("version of the catalog: %w", err)
	}
	if seen == e.seen {
		e.stale.Store(false)
		return false, nil
	}
	return true, e.reload(ctx)
}

// invalidate says that the schema changed: nothing is planned any more before
// somebody looked.
func (e *Enforcer) invalidate() { e.stale.Store(true) }

// current gives the engine to plan with.
func (e *Enforcer) current(ctx context.Context) (*rewrite.Engine, error) {
	if e.stale.Load() {
		if _, err := e.Look(ctx); err != nil {
			return nil, &rewrite.Refusal{Code: "57P03", Message: "the schema changed and could not be read again", Hint: "try again; if it stays so, an operator must look at pgveil's log"}
		}
	}
	return e.engine.Load(), nil
}

// refresh looks for a changed schema because a name was unknown to engine. It
// tells whether planning anew may help.
func (e *Enforcer) refresh(ctx context.Context, engine *rewrite.Engine) bool {
	e.mu.Lock()
	soon := time.Since(e.lastLook) < lookEvery
	e.mu.Unlock()
	if !soon {
		if _, err := e.Look(ctx); err != nil {
			return false
		}
	}
	return e.engine.Load() != engine
}
