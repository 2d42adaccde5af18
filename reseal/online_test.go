package reseal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/seal"
)

const manySchema = `CREATE TABLE people (id int PRIMARY KEY, ssn text, phone text, phone_blind bytea);
INSERT INTO people SELECT i, 'ssn ' || i, 'phone ' || i FROM generate_series(1, %d) AS i;
CREATE INDEX ON people (phone_blind);`

const manyClasses = `
  ssn: {columns: [public.people.ssn], seal: deterministic, clear: accept}
  phone: {columns: [public.people.phone], seal: randomized, index: blind, clear: accept}
`

// sealedAs fails unless every value opens as it is to be.
func (s *site) sealedAs(t *testing.T, c *Column, want func(key string) string) {
	t.Helper()
	census := s.count(t, c)
	if census.Clear != 0 || census.Damaged != 0 || census.Unfound != 0 || census.Sealed()+census.Null != census.Rows {
		t.Errorf("%s: %+v", c.Column, census)
	}
	for k, v := range s.values(t, c, "t.id") {
		if v != want(k) {
			t.Fatalf("%s of %s is %q, and not %q", c.Column, k, v, want(k))
		}
	}
}

// TestKilled ends jobs amid 100,000 rows, by their context and by their connection, and
// begins them again.
func TestKilled(t *testing.T) {
	s := newSite(t, fmt.Sprintf(manySchema, 100_000), manyClasses)
	c := s.column(t, "public.people.phone")
	var done int64
	for _, kill := range []bool{false, true, false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		j := s.job(t)
		pid := j.Conn.PgConn().PID()
		j.Progress = func(p Progress) {
			if p.Done < 15_000 {
				return
			}
			if kill {
				s.exec(t, "SELECT pg_terminate_backend($1, 5000)", pid)
			} else {
				cancel()
			}
		}
		r, err := j.Migrate(ctx, c)
		cancel()
		if err == nil || errors.Is(err, ErrStopped) == kill {
			t.Fatalf("killed %v: %+v, %v", kill, r, err)
		}
		census := s.count(t, c)
		if done += r.Done; r.Done < 15_000 || census.Sealed() != done || census.Clear != 100_000-done || census.Under[0].Unhashed != 0 {
			t.Fatalf("killed %v after %d: %+v", kill, done, census)
		}
	}
	r, err := s.job(t).Migrate(t.Context(), c)
	if err != nil || done+r.Done != 100_000 || r.Passes != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	s.sealedAs(t, c, func(key string) string { return "phone " + key })
}

// TestMeanwhile has others change, lock, delete and insert rows while they are sealed,
// sealed again and unsealed.
func TestMeanwhile(t *testing.T) {
	const rows = 12_000
	s := newSite(t, fmt.Sprintf(manySchema, rows), manyClasses)
	c := s.column(t, "public.people.ssn")
	var mu sync.Mutex
	now := map[string]string{}
	for i := 1; i <= rows; i++ {
		now[fmt.Sprint(i)] = fmt.Sprint("ssn ", i)
	}
	for _, act := range []string{"migrate", "rotate", "unseal", "migrate"} {
		begun, stop := make(chan struct{}), make(chan struct{})
		var wait sync.WaitGroup
		for n := range 3 {
			conn := pgtest.Connect(t, s.dsn)
			wait.Go(func() {
				for i := 0; ; i++ {
					if i == 10 && n == 0 {
						close(begun)
					}
					select {
					case <-stop:
						return
					default:
					}
					if err := disturb(t.Context(), conn, s, c, n, rows, &mu, now); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		<-begun
		j := s.job(t)
		j.Batch = 500
		var r *Result
		var err error
		switch act {
		case "migrate":
			r, err = j.Migrate(t.Context(), c)
		case "rotate":
			s.rotate(t, c.Class)
			r, err = j.Rotate(t.Context(), c)
		default:
			r, err = j.Unseal(t.Context(), c)
		}
		if err != nil && !errors.Is(err, ErrLocked) {
			t.Errorf("%s: %v", act, err)
		}
		close(stop)
		wait.Wait()
		t.Logf("%s: %d values in %d batches and %d passes, %d left", act, r.Done, r.Batches, r.Passes, r.Left)
		if act == "unseal" {
			r, err = j.Unseal(t.Context(), c)
		} else {
			r, err = j.Migrate(t.Context(), c)
		}
		if err != nil || r.Left != 0 {
			t.Fatalf("%s once all is quiet: %+v, %v", act, r, err)
		}
		want := func(key string) string {
			if act == "unseal" {
				return "clear " + now[key]
			}
			return now[key]
		}
		values := s.values(t, c, "t.id")
		if len(values) != len(now) {
			t.Errorf("%d rows, and not %d", len(values), len(now))
		}
		for k, v := range values {
			if v != want(k) {
				t.Fatalf("after %s, the value of %s is %q, and not %q", act, k, v, want(k))
			}
		}
	}
}

// disturb changes some rows of one in three, as an application would through pgveil or
// around it, and locks some for a while.
func disturb(ctx context.Context, conn *pgx.Conn, s *site, c *Column, n, rows int, mu *sync.Mutex, now map[string]string) error {
	ring, err := s.now(ctx)
	if err != nil {
		return err
	}
	w, err := ring.Sealer(c.Sealed)
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		set := map[string]string{}
		for range 5 {
			id := 1 + rand.IntN(rows/3)*3 + n
			value := fmt.Sprint("new ", rand.Int())
			stored := value
			if rand.IntN(2) == 0 {
				sealed, err := w.Seal(nil, []byte(value))
				if err != nil {
					return err
				}
				stored = string(sealed)
			}
			if _, err := tx.Exec(ctx, "INSERT INTO people VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET ssn = $2", id, stored); err != nil {
				return err
			}
			set[fmt.Sprint(id)] = value
		}
		if rand.IntN(20) == 0 {
			time.Sleep(500 * time.Millisecond) // longer than a job waits for a lock
		}
		gone := 1 + rand.IntN(rows/3)*3 + n
		if _, err := tx.Exec(ctx, "DELETE FROM people WHERE id = $1", gone); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for k, v := range set {
			now[k] = v
		}
		delete(now, fmt.Sprint(gone))
		return nil
	})
}

// TestBusy has two jobs come for one column.
func TestBusy(t *testing.T) {
	s := newSite(t, fmt.Sprintf(manySchema, 5000), manyClasses)
	c := s.column(t, "public.people.ssn")
	j, other := s.job(t), s.job(t)
	tried := false
	j.Batch, j.Progress = 100, func(Progress) {
		if !tried {
			if _, err := other.Rotate(t.Context(), c); !errors.Is(err, ErrBusy) {
				t.Errorf("a second job: %v", err)
			}
		}
		tried = true
	}
	if _, err := j.Migrate(t.Context(), c); err != nil || !tried {
		t.Errorf("%v, %v", tried, err)
	}
	if _, err := other.Migrate(t.Context(), c); err != nil {
		t.Errorf("once the first is over: %v", err)
	}
}

// TestTableLocked has somebody lock the whole table amid a job.
func TestTableLocked(t *testing.T) {
	s := newSite(t, fmt.Sprintf(manySchema, 5000), manyClasses)
	c := s.column(t, "public.people.ssn")
	j := s.job(t)
	locked := make(chan error)
	n := 0
	j.Batch, j.Progress = 500, func(Progress) {
		if n++; n != 3 {
			return
		}
		tx, err := s.conn.Begin(t.Context())
		if err == nil {
			_, err = tx.Exec(t.Context(), "LOCK TABLE people IN ACCESS EXCLUSIVE MODE")
		}
		if err != nil {
			t.Error(err)
		}
		go func() {
			_, err := tx.Exec(context.Background(), "SELECT pg_sleep(2.5)")
			locked <- errors.Join(err, tx.Commit(context.Background()))
		}()
	}
	r, err := j.Migrate(t.Context(), c)
	if lockErr := <-locked; err != nil || lockErr != nil || r.Done != 5000 || r.Passes < 2 {
		t.Errorf("%+v, %v, %v", r, err, lockErr)
	}
	s.sealedAs(t, c, func(key string) string { return "ssn " + key })
}

// TestKeysChange rotates, and destroys the key before, while values are sealed: none is
// committed under a key that is gone.
func TestKeysChange(t *testing.T) {
	s := newSite(t, fmt.Sprintf(manySchema, 5000), manyClasses)
	c := s.column(t, "public.people.ssn")
	j := s.job(t)
	n := 0
	j.Batch, j.Ring = 100, func(ctx context.Context) (r *seal.Ring, err error) {
		if n++; n == 20 {
			s.rotate(t, c.Class)
		}
		return s.now(ctx)
	}
	if _, err := j.Migrate(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if census := s.count(t, c); len(census.Under) != 2 || census.Sealed() != 5000 {
		t.Errorf("%+v", census)
	}
	s.sealedAs(t, c, func(key string) string { return "ssn " + key })
}

// TestNothingLogged looks for values in the log of a server that logs all statements
// with their parameters.
func TestNothingLogged(t *testing.T) {
	server, err := pgserver.Start(t.Context(), pgserver.Options{
		BinDir: os.Getenv(pgtest.EnvBin), FastUnsafe: true, Settings: map[string]string{"log_statement": "all", "log_min_duration_statement": "0", "log_parameter_max_length": "-1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	s := newSiteOn(t, server.DSN("postgres", pgserver.Superuser), "CREATE TABLE people (id int PRIMARY KEY, ssn text); INSERT INTO people SELECT i, md5(i::text) FROM generate_series(1, 300) AS i", oneClass)
	c := s.all[0]
	if _, err := s.job(t).Migrate(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	s.rotate(t, c.Class)
	if _, err := s.job(t).Rotate(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	values := s.values(t, c, "t.id")
	log, err := os.ReadFile(server.LogFile())
	if err != nil || !strings.Contains(string(log), "pgv1.") || len(values) != 300 {
		t.Fatalf("%d values, and a log of %d bytes: %v", len(values), len(log), err)
	}
	for _, v := range values {
		if strings.Contains(string(log), v) {
			t.Fatal("the server's log has a value")
		}
	}
}
