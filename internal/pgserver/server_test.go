package pgserver_test

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pgveil/pgveil/internal/pgserver"
)

// envOwner makes this test binary a process that starts a server, says where,
// and waits: one that a test can kill.
const envOwner = "PGVEIL_TEST_SERVER_OWNER"

func TestMain(m *testing.M) {
	if os.Getenv(envOwner) != "" {
		own()
		return
	}
	os.Exit(m.Run())
}

func own() {
	s, err := pgserver.Start(context.Background(), pgserver.Options{FastUnsafe: true})
	if err != nil {
		panic(err)
	}
	os.Stdout.WriteString(s.SocketDir() + "\n")
	select {}
}

func start(t *testing.T, o pgserver.Options) *pgserver.Server {
	t.Helper()
	s, err := pgserver.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func query(t *testing.T, dsn, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var value string
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

func TestLogins(t *testing.T) {
	t.Parallel()
	s := start(t, pgserver.Options{FastUnsafe: true, TLS: true, Settings: map[string]string{"search_path": "it's, here"}})
	host := func(password string) string { return s.HostDSN("postgres", pgserver.Superuser, password) }
	for _, tt := range []struct{ name, dsn, sql, want string }{
		{"by the socket", s.DSN("postgres", pgserver.Superuser), "SELECT current_user::text", "postgres"},
		{"by password and TLS", host(s.Password()), "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()", "true"},
		{"passwords are SCRAM's", host(s.Password()), "SELECT left(rolpassword, 13) FROM pg_authid WHERE rolname = 'postgres'", "SCRAM-SHA-256"},
		{"unsafe is fast", host(s.Password()), "SHOW fsync", "off"},
		{"settings are quoted", host(s.Password()), "SHOW search_path", "it's, here"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := query(t, tt.dsn, tt.sql); got != tt.want {
				t.Errorf("%s = %q, want %q", tt.sql, got, tt.want)
			}
		})
	}
	if conn, err := pgx.Connect(t.Context(), host("wrong")); err == nil {
		conn.Close(t.Context())
		t.Error("a wrong password logs in")
	}
}

func TestStopLeavesNothing(t *testing.T) {
	t.Parallel()
	s := start(t, pgserver.Options{})
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.SocketDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Stop, stat of the working folder gives %v", err)
	}
	if conn, err := pgx.Connect(t.Context(), s.HostDSN("postgres", pgserver.Superuser, s.Password())); err == nil {
		conn.Close(t.Context())
		t.Error("a stopped server answers")
	}
}

func TestGivenFolderIsKept(t *testing.T) {
	t.Parallel()
	o := pgserver.Options{Dir: filepath.Join(openFolder(t), "cluster"), Password: "it's secret"}
	s := start(t, o)
	query(t, s.DSN("postgres", pgserver.Superuser), "SELECT lo_create(4711)::text")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	again := start(t, o)
	if got := query(t, again.HostDSN("postgres", pgserver.Superuser, o.Password), "SELECT count(*)::text FROM pg_largeobject_metadata"); got != "1" {
		t.Errorf("the folder used again holds %s large objects, want 1", got)
	}
}

// openFolder gives a temporary folder that the server's own user may enter, as
// it may not enter t.TempDir's.
func openFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgveil-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	full := openFolder(t)
	if err := os.WriteFile(filepath.Join(full, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		o    pgserver.Options
		want string
	}{
		{"a setting that is none", pgserver.Options{Settings: map[string]string{"no_such_setting": "1"}}, "no_such_setting"},
		{"a folder without programs", pgserver.Options{BinDir: "/usr/lib/no-postgresql"}, "/usr/lib/no-postgresql/initdb"},
		{"a folder that holds something else", pgserver.Options{Dir: full}, full},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := pgserver.Start(t.Context(), tt.o)
			if err == nil {
				s.Stop()
				t.Fatal("it starts")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q does not name %q", err, tt.want)
			}
		})
	}
}

func TestPortTaken(t *testing.T) {
	t.Parallel()
	s := start(t, pgserver.Options{FastUnsafe: true})
	if _, err := pgserver.Start(t.Context(), pgserver.Options{Port: s.Port()}); err == nil || !strings.Contains(err.Error(), "port is taken") {
		t.Errorf("starting on a taken port gives %v", err)
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			s, err := pgserver.Start(t.Context(), pgserver.Options{FastUnsafe: true})
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// A process that is killed can stop nothing. Its server must end all the same.
func TestDiesWithItsOwner(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	owner := exec.Command(self)
	owner.Env = append(os.Environ(), envOwner+"=1")
	owner.Stderr = os.Stderr
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := owner.Wait(); err == nil {
		t.Fatal("the owner ended by itself")
	}
	awaitGone(t, strings.TrimSpace(line))
}

// awaitGone waits for the removal of the working folder, which is the last
// thing that happens; nothing of the dead owner is left that would tell.
func awaitGone(t *testing.T, work string) {
	t.Helper()
	retry := time.NewTicker(5 * time.Millisecond)
	defer retry.Stop()
	deadline := time.After(30 * time.Second)
	for {
		if _, err := os.Stat(work); errors.Is(err, fs.ErrNotExist) {
			return
		}
		select {
		case <-retry.C:
		case <-deadline:
			t.Fatalf("%s is still there", work)
		}
	}
}
