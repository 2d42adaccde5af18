package shred

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/seal"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// scene is a store, and keys for the class birth.
type scene struct {
	*Keys
	ring *seal.Ring
	old  *seal.Key
}

func newScene(t testing.TB) *scene {
	t.Helper()
	store, err := Open(t.Context(), pgtest.Server(t).DSN(pgtest.Database(t, ""), pgserver.Superuser), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	for range 2 { // the second time it is there
		if err := store.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s := &scene{old: seal.NewKey("birth", seal.Primary, time.Now())}
	s.turn(t, s.old)
	s.Keys = s.process(store)
	return s
}

// process gives the keys of one more process.
func (s *scene) process(store *Store) *Keys {
	return &Keys{Store: store, Ring: func() *seal.Ring { return s.ring }, Log: slog.New(slog.DiscardHandler)}
}

func (s *scene) turn(t testing.TB, keys ...*seal.Key) {
	t.Helper()
	var err error
	if s.ring, err = seal.NewRing(keys...); err != nil {
		t.Fatal(err)
	}
}

// opens tells whether a key can be had, by somebody who may wait.
func opens(t *testing.T, k *Keys, id seal.DataKeyID) bool {
	t.Helper()
	n := 0
	if err := k.Fetch(t.Context(), []seal.DataKeyID{id}, false, func(seal.DataKey) { n++ }); err != nil {
		t.Fatal(err)
	}
	return n == 1
}

func (s *scene) take(t testing.TB) seal.DataKey {
	t.Helper()
	k, err := s.Take(t.Context(), "birth", false)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestTakeOnce takes keys from many sides at once: each is taken once, and is in the
// store.
func TestTakeOnce(t *testing.T) {
	s := newScene(t)
	if _, err := s.Take(t.Context(), "birth", true); !errors.Is(err, ErrWaits) {
		t.Errorf("before any was made: %v", err)
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	seen := map[seal.DataKeyID]seal.DataKey{}
	for range 8 {
		all.Go(func() {
			for range 1000 {
				k, err := s.Take(t.Context(), "birth", false)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if _, ok := seen[k.ID]; ok {
					t.Errorf("key %x was taken twice", k.ID)
				}
				seen[k.ID] = k
				mu.Unlock()
			}
		})
	}
	all.Wait()
	var ids []seal.DataKeyID
	for id := range seen {
		ids = append(ids, id)
	}
	found := 0
	other := s.process(s.Store)
	if err := other.Fetch(t.Context(), ids, true, nil); !errors.Is(err, ErrWaits) {
		t.Errorf("fetched without waiting: %v", err)
	}
	err := other.Fetch(t.Context(), ids, false, func(k seal.DataKey) {
		if found++; seen[k.ID] != k {
			t.Errorf("key %x is another in the store", k.ID)
		}
	})
	if err != nil || found != len(seen) {
		t.Errorf("%d of %d keys are in the store, %v", found, len(seen), err)
	}
	if err := other.Fetch(t.Context(), ids[:100], true, func(seal.DataKey) {}); err != nil {
		t.Errorf("they are not at hand: %v", err)
	}
}

func TestTakeUnknownClass(t *testing.T) {
	s := newScene(t)
	if _, err := s.Take(t.Context(), "nobody", false); !errors.Is(err, ErrAway) {
		t.Errorf("error is %v", err)
	}
}

// TestDestroyed destroys a key that another process has cached.
func TestDestroyed(t *testing.T) {
	s := newScene(t)
	a, b := s.take(t), s.take(t)
	other := s.process(s.Store)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { other.Listen(ctx); close(done) }()
	defer func() { stop(); <-done }()
	for heard := false; !heard; { // it listens once what is destroyed is forgotten
		if !opens(t, other, a.ID) || !opens(t, other, b.ID) {
			t.Fatal("the keys are not there")
		}
		k := s.take(t)
		opens(t, other, k.ID)
		if _, err := s.Destroy(t.Context(), []seal.DataKeyID{k.ID}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
		_, cached := other.At(k.ID)
		heard = !cached
	}
	opens(t, other, a.ID)
	opens(t, other, b.ID)
	n, err := s.Destroy(t.Context(), []seal.DataKeyID{a.ID, 12345})
	if err != nil || n != 1 {
		t.Errorf("%d destroyed, %v", n, err)
	}
	if opens(t, s.Keys, a.ID) {
		t.Error("it opens where it was destroyed")
	}
	for late := time.Now().Add(10 * time.Second); opens(t, other, a.ID); time.Sleep(time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("it opens in the other process")
		}
	}
	if _, ok := other.At(b.ID); !ok {
		t.Error("another key was forgotten as well")
	}
}

// TestStoreAway ends the store amid its work.
func TestStoreAway(t *testing.T) {
	server, err := pgserver.Start(t.Context(), pgserver.Options{FastUnsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	s := newScene(t)
	store, err := Open(t.Context(), server.DSN("postgres", pgserver.Superuser), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	if err := store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	k := s.process(store)
	one, err := k.Take(t.Context(), "birth", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := k.Fetch(t.Context(), []seal.DataKeyID{one.ID}, true, func(seal.DataKey) {}); err != nil {
		t.Errorf("what is at hand does not open: %v", err)
	}
	if err := k.Fetch(t.Context(), []seal.DataKeyID{one.ID + 1}, false, func(seal.DataKey) {}); !errors.Is(err, ErrAway) {
		t.Errorf("fetching: %v", err)
	}
	for range maxMade {
		if _, err = k.Take(t.Context(), "birth", false); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrAway) {
		t.Errorf("taking: %v", err)
	}
	if _, err := k.Destroy(t.Context(), []seal.DataKeyID{one.ID}); err == nil {
		t.Error("a key was destroyed in no store")
	}
}

// governed is a database with a column whose values have data keys.
func (s *scene) governed(t testing.TB) (*pgx.Conn, *policy.Sealed, *seal.Sealer) {
	t.Helper()
	db := pgtest.Connect(t, pgtest.Server(t).DSN(pgtest.Database(t, ""), pgserver.Superuser))
	exec(t, db, "CREATE TABLE customers (id int PRIMARY KEY, born text)")
	c := &policy.Sealed{
		Sealing: policy.Sealing{Mode: policy.SealRandomized, Shred: true}, Class: "birth", Domain: "public.customers.born", Column: "public.customers.born",
		Schema: "public", Table: "customers", Name: "born", Stored: "text", Values: "date",
	}
	with, err := s.ring.Sealer(c)
	if err != nil {
		t.Fatal(err)
	}
	return db, c, with
}

func exec(t testing.TB, db *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := db.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// TestReap overwrites values and deletes rows: their keys go, and no others.
func TestReap(t *testing.T) {
	s := newScene(t)
	db, c, with := s.governed(t)
	var ids []seal.DataKeyID
	store := pgtest.Connect(t, s.Store.pool.Config().ConnString())
	for i := range 100 {
		k := s.take(t)
		sealed, err := with.SealUnder(nil, []byte("1980-01-01"), &k)
		if err != nil {
			t.Fatal(err)
		}
		exec(t, db, "INSERT INTO customers VALUES ($1, $2)", i, string(sealed))
		ids = append(ids, k.ID)
	}
	exec(t, store, "DELETE FROM pgveil.data_keys WHERE id <> ALL($1)", numbers(ids)) // those that nobody took
	columns := []*policy.Sealed{c}
	r, err := s.Reap(t.Context(), db, columns, false, false)
	if err != nil || r.Live != 100 || r.Keys != 0 || r.Gone != 0 {
		t.Errorf("while they are new: %+v, %v", r, err)
	}
	exec(t, store, "UPDATE pgveil.data_keys SET made = made - interval '2 hours'")
	exec(t, db, "DELETE FROM customers WHERE id < 10")
	exec(t, db, "UPDATE customers SET born = NULL WHERE id = 99")

	r, err = s.Reap(t.Context(), db, columns, false, true)
	if err != nil || r.Unused != 11 || r.Gone != 0 {
		t.Errorf("dry: %+v, %v", r, err)
	}
	old := pgtest.Connect(t, db.Config().ConnString())
	exec(t, old, "BEGIN")
	exec(t, old, "SELECT 1")
	exec(t, store, "UPDATE pgveil.data_keys SET made = now() - interval '1 hour'")
	if r, err = s.Reap(t.Context(), db, columns, false, false); err != nil || r.Keys != 0 {
		t.Errorf("while a transaction runs from before: %+v, %v", r, err)
	}
	exec(t, old, "COMMIT")
	exec(t, store, "UPDATE pgveil.data_keys SET made = made - interval '2 hours'")
	if r, err = s.Reap(t.Context(), db, columns, false, false); err != nil || r.Keys != 100 || r.Unused != 11 || r.Gone != 11 {
		t.Errorf("%+v, %v", r, err)
	}
	for i, id := range ids {
		if has, want := opens(t, s.Keys, id), i >= 10 && i < 99; has != want {
			t.Errorf("the key of row %d is there: %v", i, has)
		}
	}
	exec(t, db, "DELETE FROM customers WHERE id > 20")
	if r, err = s.Reap(t.Context(), db, columns, false, false); !errors.Is(err, ErrMany) || r.Gone != 0 {
		t.Errorf("of nearly all: %+v, %v", r, err)
	}
	if r, err = s.Reap(t.Context(), db, columns, true, false); err != nil || r.Gone != 78 {
		t.Errorf("of nearly all, as was said: %+v, %v", r, err)
	}
}

// TestReapSeesAll has row security hide rows from who reaps.
func TestReapSeesAll(t *testing.T) {
	s := newScene(t)
	db, c, _ := s.governed(t)
	exec(t, db, "ALTER TABLE customers ENABLE ROW LEVEL SECURITY")
	exec(t, db, "DROP ROLE IF EXISTS reaper; CREATE ROLE reaper LOGIN; GRANT pg_read_all_data TO reaper")
	blind := pgtest.Connect(t, pgtest.Server(t).DSN(db.Config().Database, "reaper"))
	if _, err := s.Reap(t.Context(), blind, []*policy.Sealed{c}, true, false); err == nil {
		t.Error("it reaps while transactions are hidden")
	}
	exec(t, db, "GRANT pg_read_all_stats TO reaper")
	if _, err := s.Reap(t.Context(), blind, []*policy.Sealed{c}, true, false); err == nil {
		t.Error("it reaps while rows are hidden")
	}
}

// TestRewrap turns a class's key: data keys open as before, and those that the old
// key wrapped no more from copies of the store.
func TestRewrap(t *testing.T) {
	s := newScene(t)
	k := s.take(t)
	fresh := seal.NewKey("birth", seal.Primary, time.Now())
	s.old.State = seal.Enabled
	s.turn(t, s.old, fresh)
	all, err := s.Store.Count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n, err := s.Store.Rewrap(t.Context(), s.ring, "birth", func(int64) {})
	if err != nil || n != all {
		t.Errorf("%d of %d, %v", n, all, err)
	}
	s.old.State = seal.Destroyed
	s.turn(t, s.old, fresh)
	s.Forget()
	if !opens(t, s.Keys, k.ID) {
		t.Error("a key is lost")
	}
}

func BenchmarkTake(b *testing.B) {
	s := newScene(b)
	for b.Loop() {
		s.take(b)
	}
}

func BenchmarkFetch(b *testing.B) {
	s := newScene(b)
	for _, n := range []int{1, 100, 1000} {
		var ids []seal.DataKeyID
		for range n {
			ids = append(ids, s.take(b).ID)
		}
		for _, cached := range []bool{true, false} {
			b.Run(fmt.Sprintf("%d/cached=%v", n, cached), func(b *testing.B) {
				for b.Loop() {
					if !cached {
						s.Forget()
					}
					if err := s.Fetch(b.Context(), ids, false, func(seal.DataKey) {}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
