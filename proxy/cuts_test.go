package proxy_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/faulty"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
)

// A session's connections are cut at every byte, or at a few of them: see
// TestCuts.
var everyByte = flag.Bool("every-byte", false, "cut each stream at every byte, or at 2000 where it is longer")

// rig is a front between two networks that fail on purpose.
type rig struct {
	*front
	database  string
	near, far *faulty.Relay // to the client and to the server
	sealed    bool          // clients are under TLS: what passes near them says nothing
	opened    []byte        // what the last client got after its login
	server    *pgx.Conn     // sees who is logged in
	rest      footprint     // of no session at all
}

func newRig(t *testing.T, network, address string, edits ...func(*proxy.Options)) *rig {
	t.Helper()
	r := &rig{database: pgtest.Database(t, "shop")}
	r.far = relayTo(t, network, address)
	r.front = start(t, r.database, shopPolicy, append(edits, func(o *proxy.Options) {
		o.Upstream.Hosts = []proxy.Host{{Network: "tcp", Address: r.far.Addr()}}
	})...)
	r.near = relayTo(t, "tcp", r.Addr)
	r.server = pgtest.Connect(t, pgtest.Server(t).DSN(r.database, pgserver.Superuser))
	return r
}

func relayTo(t *testing.T, network, address string) *faulty.Relay {
	t.Helper()
	r, err := faulty.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// footprint is what sessions take up. All is in this process but the server's
// own part.
type footprint struct{ sessions, goroutines, files, backends int }

func (r *rig) footprint(t *testing.T) footprint {
	t.Helper()
	f := footprint{sessions: r.Sessions(), goroutines: runtime.NumGoroutine()}
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		// The log opens and closes its segments as it grows.
		if target, err := os.Readlink("/proc/self/fd/" + file.Name()); err == nil && !strings.HasPrefix(target, r.AuditDir) {
			f.files++
		}
	}
	const sql = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
	if err := r.server.QueryRow(t.Context(), sql).Scan(&f.backends); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f footprint) within(rest footprint) bool {
	return f.sessions <= rest.sessions && f.goroutines <= rest.goroutines && f.files <= rest.files && f.backends <= rest.backends
}

// rests waits until nothing is left of any session.
func (r *rig) rests(t *testing.T) {
	t.Helper()
	late := time.After(5 * time.Second)
	for tick := time.Tick(time.Millisecond); ; {
		f := r.footprint(t)
		if f.within(r.rest) {
			return
		}
		select {
		case <-tick:
		case <-late:
			all := make([]byte, 1<<20)
			t.Fatalf("left behind: %+v, want %+v\n%s", f, r.rest, all[:runtime.Stack(all, true)])
		}
	}
}

// line is one of the four streams of a session.
type line struct {
	name  string
	far   bool // between pgveil and the server
	forth bool // away from the client
}

var lines = []line{{"client to pgveil", false, true}, {"pgveil to client", false, false}, {"pgveil to server", true, true}, {"server to pgveil", true, false}}

// cut is where and how a session's connection ends.
type cut struct {
	line
	end   faulty.End
	after int
}

func (c cut) String() string { return fmt.Sprintf("%v after byte %d from %s", c.end, c.after, c.name) }

func (c cut) scripts() (all [4]faulty.Script) {
	if i := slices.Index(lines, c.line); i >= 0 {
		all[i] = faulty.Script{End: c.end, After: c.after}
	}
	return all
}

// taken is what a session came to: what passed on each line, and the records
// of the access log that it made.
type taken struct {
	cut      cut
	streams  [4][]byte
	got      []byte // by the client: the stream to it or, under TLS, what was in that after the login
	from, to uint64
}

// act plays a scene with a cut in it, up to the end of the session.
func (r *rig) act(t *testing.T, s scene, c cut) taken {
	t.Helper()
	return r.under(t, s, c, c.scripts())
}

// under plays a scene under scripts, one for each line. The client always
// learns of the end: it never waits for what does not come. Garbage is not
// collected meanwhile, for that closes connections which nobody has closed.
func (r *rig) under(t *testing.T, s scene, c cut, scripts [4]faulty.Script) taken {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	r.opened = nil
	r.near.Set(scripts[0], scripts[1])
	r.far.Set(scripts[2], scripts[3])
	took := taken{cut: c, from: r.Audit.Stats().Appended}
	err := r.talk(t.Context(), s)
	var late net.Error
	if errors.As(err, &late) && late.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v: the client waits: %v", c, err)
	}
	r.rests(t)
	took.to = r.Audit.Stats().Appended
	took.streams[0], took.streams[1] = r.near.Passed()
	took.streams[2], took.streams[3] = r.far.Passed()
	if took.got = took.streams[1]; r.sealed {
		took.got = r.opened
	}
	return took
}

// TestCuts cuts the connections of sessions, on both sides of pgveil and in
// both directions, by an orderly end, a reset and the end of one direction: at
// a few bytes of each, with -every-byte at each of them (make faults).
// After each nothing may be left of the session, here or on the server; the
// client has got nothing but a beginning of what it gets otherwise, and is told
// when the server was lost; and what reached the server is in the access log.
func TestCuts(t *testing.T) {
	server := pgtest.Server(t)
	for _, tt := range []struct {
		name    string
		address []string
		edit    func(*testing.T) func(*proxy.Options)
	}{
		{"trust", []string{"unix", socket(server)}, func(*testing.T) func(*proxy.Options) { return func(*proxy.Options) {} }},
		{"SCRAM", []string{"tcp", server.Addr()}, func(t *testing.T) func(*proxy.Options) { return scram(t) }},
		{"TLS", []string{"unix", socket(server)}, func(t *testing.T) func(*proxy.Options) {
			cert, _ := certificate(t)
			return func(o *proxy.Options) { o.TLS = &tls.Config{Certificates: []tls.Certificate{cert}} }
		}},
		{"durable", []string{"unix", socket(server)}, func(*testing.T) func(*proxy.Options) { return func(o *proxy.Options) { o.Durable = true } }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, tt.address[0], tt.address[1], tt.edit(t))
			r.sealed = tt.name == "TLS"
			for _, s := range scenes() {
				if s.under == tt.name {
					t.Run(s.name, func(t *testing.T) { r.cuts(t, s) })
				}
			}
		})
	}
}

// cuts plays a scene as it is, with its bytes in pieces, and then with each of
// its cuts.
func (r *rig) cuts(t *testing.T, s scene) {
	r.rest = footprint{1 << 20, 1 << 20, 1 << 20, 1 << 20}
	r.act(t, s, cut{})
	r.rest = r.settled(t) // what the first one left for reuse is there
	whole := r.act(t, s, cut{})
	all := []taken{whole, r.inPieces(t, s, len(whole.streams[1]))}
	for _, l := range lines {
		for _, end := range []faulty.End{faulty.Close, faulty.Reset, faulty.HalfClose} {
			for _, after := range r.places(whole, l, end, s.login) {
				all = append(all, r.act(t, s, cut{l, end, after}))
			}
		}
	}
	for _, k := range all {
		if err := errors.Join(k.judge(framesOf(whole.got), r.sealed), k.checkRecords(t, r.AuditDir)); err != nil {
			t.Errorf("%v: %v", k.cut, err)
		}
	}
	t.Logf("%d cuts", len(all)-2)
}

// inPieces plays a scene with writes of a byte, or of a few where it is long.
func (r *rig) inPieces(t *testing.T, s scene, n int) taken {
	script := faulty.Script{Split: 1 + n/4000, Stall: 20 * time.Millisecond, At: n / 2}
	return r.under(t, s, cut{}, [4]faulty.Script{script, script, script, script})
}

// settled gives the footprint of no session once it has stopped shrinking.
func (r *rig) settled(t *testing.T) footprint {
	t.Helper()
	last, same := r.footprint(t), 0
	for range time.Tick(2 * time.Millisecond) {
		f := r.footprint(t)
		if same++; f != last {
			same = 0
		}
		if last = f; same == 25 {
			break
		}
	}
	return last
}

// span gives the part of a stream that is cut: its login, or what is behind it,
// or all of it where it is under TLS.
func (r *rig) span(whole taken, l line, login bool) (from, to int) {
	stream := whole.streams[slices.Index(lines, l)]
	if r.sealed && !l.far {
		return 0, len(stream)
	}
	end := loginEnd(stream, l.forth)
	if login {
		return 0, end
	}
	return end, len(stream)
}

// places gives the bytes after which a stream is cut.
func (r *rig) places(whole taken, l line, how faulty.End, login bool) (all []int) {
	from, to := r.span(whole, l, login)
	step := max(1, (to-from)/2000)
	if !*everyByte {
		step = max(1, (to-from)/2)
		from += step * (int(how) - 1) / 3 // elsewhere by each end
	}
	for at := from; at < to; at += step {
		all = append(all, at)
	}
	return all
}

// loginEnd finds where a login ends: at the first ReadyForQuery, or behind the
// StartupMessage and the messages of SASL.
func loginEnd(stream []byte, forth bool) (n int) {
	if forth {
		n = int(binary.BigEndian.Uint32(stream))
	}
	for _, f := range framesOf(stream[n:]) {
		if forth && f[0] != 'p' {
			break
		}
		n += len(f)
		if f[0] == 'Z' {
			break
		}
	}
	return n
}
