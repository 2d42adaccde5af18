package load_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/audit/load"
)

// What cannot be loaded is said, in words that tell what to do.
func TestTroubles(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(t *testing.T, s *scene, l *load.Loader)
		want  string
	}{
		{"no tables", func(t *testing.T, s *scene, l *load.Loader) {
			s.exec(t, "DROP SCHEMA pgveil CASCADE")
		}, `pgveil schema --apply`},
		{"a read-only database", func(t *testing.T, s *scene, l *load.Loader) {
			l.Use = func(ctx context.Context, f func(*pgx.Conn) error) error {
				conn, err := pgx.Connect(ctx, s.dsn+"&default_transaction_read_only=on")
				if err != nil {
					return err
				}
				return errors.Join(f(conn), conn.Close(ctx))
			}
		}, "it is a standby, or read-only"},
		{"no server", func(_ *testing.T, _ *scene, l *load.Loader) {
			l.Use = func(context.Context, func(*pgx.Conn) error) error { return &pgconn.ConnectError{} }
		}, "no database answers"},
		{"another log of the same name", func(t *testing.T, s *scene, l *load.Loader) {
			other := &scene{dir: t.TempDir(), dsn: s.dsn, now: s.now}
			other.open(t)
			other.add(t, audit.Record{Kind: audit.KindSystem, Message: "another"})
			o := other.loader(t)
			o.Name, l.Name = "crm", "crm"
			other.load(t, o)
		}, "another log is in the table as crm"},
		{"a log that was cut", func(t *testing.T, s *scene, l *load.Loader) {
			kept := t.TempDir()
			if err := os.CopyFS(kept, os.DirFS(s.dir)); err != nil {
				t.Fatal(err)
			}
			s.statement(t, "alice")
			s.load(t, s.loader(t))
			l.Dir = kept
		}, "does not go on where the table ends"},
		{"a log that went another way", func(t *testing.T, s *scene, l *load.Loader) {
			kept := t.TempDir()
			if err := os.CopyFS(kept, os.DirFS(s.dir)); err != nil {
				t.Fatal(err)
			}
			s.statement(t, "alice")
			s.load(t, s.loader(t))
			other := &scene{dir: kept, dsn: s.dsn, now: s.now}
			other.open(t)
			other.statement(t, "mallory")
			l.Dir = kept
		}, "another record than the one that is in the table"},
		{"a table of other columns", func(t *testing.T, s *scene, l *load.Loader) {
			s.exec(t, "ALTER TABLE pgveil.access_log RENAME COLUMN took TO lasted")
		}, `pgveil schema --apply`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t)
			s.add(t, audit.Record{Kind: audit.KindSystem, Message: "start"})
			l := s.loader(t)
			var said lockedLog
			l.Log = slog.New(slog.NewTextHandler(&said, nil))
			tt.spoil(t, s, l)
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { l.Run(ctx); close(ended) }()
			for late := time.After(30 * time.Second); !strings.Contains(said.String(), tt.want); {
				select {
				case <-late:
					t.Fatalf("it says\n%swant %q", said.String(), tt.want)
				case <-time.After(5 * time.Millisecond):
				}
			}
			stop()
			<-ended
			if n := strings.Count(said.String(), "\n"); n != 1 {
				t.Errorf("it is said %d times:\n%s", n, said.String())
			}
		})
	}
}

type lockedLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
