package proxy_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
)

// A fault of ours ends the session that it is in, and no other.
func TestPanicEndsOneSession(t *testing.T) {
	database := pgtest.Database(t, "shop")
	var faulty atomic.Bool
	f := start(t, database, shopPolicy, func(o *proxy.Options) {
		o.Now = func() time.Time {
			if faulty.Swap(false) {
				panic("a fault")
			}
			return time.Now()
		}
	})
	f.Panics = true
	victim, other := f.connect(t, database, "alice"), f.connect(t, database, "alice")
	faulty.Store(true)
	if got := text(t.Context(), victim, "SELECT 1"); got != "XX000 internal error in pgveil: the session ends" {
		t.Errorf("the session in which it panics: %q", got)
	}
	if got := text(t.Context(), other, "SELECT 1"); got != "1\n" {
		t.Errorf("another session: %q", got)
	}
	if got := text(t.Context(), f.connect(t, database, "alice"), "SELECT 1"); got != "1\n" {
		t.Errorf("a new session: %q", got)
	}
}
