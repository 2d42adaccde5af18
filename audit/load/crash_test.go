package load_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/audit/load"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

// The server dies amid loading: what it said it had committed it still has, for the
// log need not keep that any more, and the rest is loaded again.
func TestServerCrash(t *testing.T) {
	server, err := pgserver.Start(t.Context(), pgserver.Options{
		BinDir: os.Getenv(pgtest.EnvBin), FastUnsafe: true,
		Settings: map[string]string{"restart_after_crash": "on", "wal_writer_delay": "10s", "synchronous_commit": "off"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	}()
	s := newSceneOn(t, server, "postgres")
	r := rand.New(rand.NewPCG(11, 12))
	var open []uint64
	for range 2000 {
		s.anything(t, r, &open)
	}
	l := s.loader(t)
	l.Log, l.Batch = slog.New(slog.DiscardHandler), 50
	l.Use = func(ctx context.Context, f func(*pgx.Conn) error) error {
		conn, err := pgx.Connect(ctx, s.dsn)
		if err != nil {
			return err
		}
		return errors.Join(load.Setup(ctx, conn), f(conn), conn.Close(ctx))
	}
	for crashes, late := 0, time.Now().Add(time.Minute); ; {
		more, err := l.Step(t.Context())
		switch {
		case time.Now().After(late):
			t.Fatalf("after %d crashes: %v", crashes, err)
		case err != nil:
			l.Forget() // the server is not back yet
		case !more:
			if crashes == 0 {
				t.Error("the server did not crash")
			}
			s.conn = pgtest.Connect(t, s.dsn)
			s.good(t)
			return
		case crashes < 6 && r.IntN(4) == 0:
			crashes++
			before, _ := l.Loaded()
			if now := s.crash(t); now < before {
				t.Errorf("%d records were in the table, and %d are after a crash", before, now)
			}
		}
	}
}

// crash lets a backend die, and with it all that the server has not written, and
// gives how much is loaded once it is back.
func (s *scene) crash(t *testing.T) (records uint64) {
	t.Helper()
	victim := pgtest.Connect(t, s.dsn)
	if err := syscall.Kill(int(victim.PgConn().PID()), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for late := time.Now().Add(time.Minute); ; {
		conn, err := pgx.Connect(t.Context(), s.dsn)
		if err == nil {
			err = errors.Join(conn.QueryRow(t.Context(), "SELECT coalesce(max(records), 0) FROM pgveil.access_loads").Scan(&records), conn.Close(t.Context()))
		}
		if err == nil {
			return records
		}
		if time.Now().After(late) {
			t.Fatal(err)
		}
	}
}
