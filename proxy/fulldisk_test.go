package proxy_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
)

// TestFullDiskUnderSessions fills the disk of the log under sessions that
// insert, and makes room again. Inserts are refused and no session ends; and
// every row that is there is recorded, with how its statement ended.
func TestFullDiskUnderSessions(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=6m"); err != nil {
		t.Skipf("mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	log, err := audit.Open(filepath.Join(disk, "audit"), audit.Options{SegmentSize: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	database := pgtest.Database(t, "shop")
	f := start(t, database, shopPolicy, func(o *proxy.Options) { o.Audit, o.Durable = log, true })
	text(t.Context(), f.connect(t, database, "dora"), "CREATE TABLE marks (n int)")
	var inserted, refused, next atomic.Int64
	stop := make(chan struct{})
	var sessions sync.WaitGroup
	for range 8 {
		conn := f.connect(t, database, "dora")
		sessions.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, err := conn.Exec(t.Context(), fmt.Sprintf("INSERT INTO marks VALUES (%d)", next.Add(1)), pgx.QueryExecModeSimpleProtocol)
				switch {
				case err == nil:
					inserted.Add(1)
				case code(err) == "53100":
					refused.Add(1)
				default:
					t.Errorf("a session of which the log's disk is full: %v", err)
					return
				}
			}
		})
	}
	more := func(what string, n *atomic.Int64) {
		t.Helper()
		late := time.After(time.Minute)
		for tick, until := time.Tick(time.Millisecond), n.Load()+100; n.Load() < until; {
			select {
			case <-tick:
			case <-late:
				t.Fatalf("no more statements are %s", what)
			}
		}
	}
	more("inserted", &inserted)
	hog, err := os.Create(filepath.Join(disk, "hog"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = hog.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	more("refused", &refused)
	if err := errors.Join(hog.Close(), os.Remove(hog.Name())); err != nil {
		t.Fatal(err)
	}
	more("inserted", &inserted)
	close(stop)
	sessions.Wait()
	rows := text(t.Context(), f.connect(t, database, "dora"), "SELECT count(*) FROM marks")
	if want := fmt.Sprintf("%d\n", inserted.Load()); rows != want {
		t.Errorf("%s rows are there, %s were acknowledged", rows, want)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	statements, ended := map[uint64]bool{}, int64(0)
	for r, err := range audit.Read(filepath.Join(disk, "audit"), 0) {
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case r.Kind == audit.KindStatement && r.Command == "INSERT":
			statements[r.Seq] = true
		case r.Kind == audit.KindOutcome && statements[r.Ref] && strings.HasPrefix(r.Tag, "INSERT"):
			ended++
		}
	}
	if ended != inserted.Load() {
		t.Errorf("%d inserts were acknowledged, %d are recorded with their outcomes", inserted.Load(), ended)
	}
	t.Logf("%d inserted, %d refused", inserted.Load(), refused.Load())
}
