package proxy_test

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

var (
	pipelinesFor  = flag.Duration("pipelines-for", 3*time.Second, "how long TestRandomPipelines makes pipelines")
	pipelinesSeed = flag.Uint64("pipelines-seed", 1, "what TestRandomPipelines begins with")
)

// TestRandomPipelines sends random pipelines, in random pieces, to PostgreSQL
// and through pgveil, several at once. A caller without restrictions must be
// answered byte for byte the same; one who has some, but may see everything, by
// the same types of messages. With -pipelines-for it goes on for as long.
func TestRandomPipelines(t *testing.T) {
	w := newWireBase(t)
	const beside = 4
	var admins [beside]*pgx.Conn
	for i := range beside {
		admins[i] = pgtest.Connect(t, pgtest.Server(t).DSN(w.name, pgserver.Superuser))
		exec(t, w.admin, fmt.Sprintf("CREATE TABLE r%d (id integer PRIMARY KEY, name text CHECK (name <> 'bad')); GRANT ALL ON r%[1]d TO wire", i))
	}
	free, clerk := start(t, w.name, wireUnrestricted), start(t, w.name, wireRestricted)
	end := time.Now().Add(*pipelinesFor)
	var tasks sync.WaitGroup
	for i := range beside {
		tasks.Go(func() {
			for seed := *pipelinesSeed<<32 + uint64(i); time.Now().Before(end) && !t.Failed(); seed += beside {
				p := pipeline{Rand: rand.New(rand.NewPCG(seed, 0)), admin: admins[i], database: w.name, table: fmt.Sprintf("r%d", i)}
				p.make()
				want := p.play(t, "unix", socket(pgtest.Server(t)))
				if n := len(want); n == 0 || want[n-1][0] != 'Z' {
					continue // PostgreSQL ended the session: an internal error of its own
				}
				open, closed := p.play(t, "tcp", free.Addr), p.play(t, "tcp", clerk.Addr)
				apart, apartClosed := p.differs(want, open, false), p.differs(want, closed, true)
				if (apart || apartClosed) && p.down(t) {
					t.Logf("seed %d: PostgreSQL crashed, by itself or by another pipeline; no more are made", seed)
					return
				}
				if apart {
					t.Errorf("seed %d, without restrictions:\n%s", seed, p.report(want, open))
				}
				if apartClosed {
					t.Errorf("seed %d, with restrictions:\n%s", seed, p.report(want, closed))
				}
			}
		})
	}
	tasks.Wait()
}

// down tells whether PostgreSQL has crashed: then nobody's connection is left
// in a moment.
func (p *pipeline) down(t *testing.T) bool {
	_, err := p.admin.Exec(t.Context(), "SELECT pg_sleep(0.3)")
	return err != nil
}

// fail fails the test, unless PostgreSQL has crashed.
func (p *pipeline) fail(t *testing.T, err error) {
	if !p.down(t) {
		t.Error(err)
	}
}

// pipeline is what a client sends without waiting for answers.
type pipeline struct {
	*rand.Rand
	admin           *pgx.Conn
	database, table string
	all             []pgproto3.Message
	odd             bool // with statements that pgveil and the server refuse at other times
}

func (p *pipeline) pick(of ...string) string { return of[p.IntN(len(of))] }

func (p *pipeline) add(m ...pgproto3.Message) { p.all = append(p.all, m...) }

// lastQuery ends every pipeline: whatever state the session is in then, its
// answer ends with the row.
const lastQuery = "SELECT 'that was all'"

func (p *pipeline) make() {
	for range 1 + p.IntN(30) {
		p.step()
	}
	p.add(&pgproto3.CopyDone{}, &pgproto3.Sync{}, &pgproto3.CopyDone{}, &pgproto3.Query{String: "ROLLBACK"}, &pgproto3.Query{String: lastQuery})
}

func (p *pipeline) step() {
	switch p.IntN(14) {
	case 0, 1:
		p.add(&pgproto3.Query{String: p.text()})
	case 2:
		p.add(&pgproto3.Parse{Name: p.name(), Query: p.text()})
	case 3:
		p.add(&pgproto3.Bind{DestinationPortal: p.name(), PreparedStatement: p.name()})
	case 4:
		if p.IntN(2) == 0 {
			p.add(&pgproto3.Describe{ObjectType: 'S', Name: p.name()})
			break
		}
		// A Query that fails leaves an unnamed portal behind; pgveil knows of none.
		p.add(&pgproto3.Describe{ObjectType: 'P', Name: p.pick("a", "b")})
	case 5:
		p.add(&pgproto3.Execute{Portal: p.name(), MaxRows: uint32(p.IntN(4))})
	case 6:
		p.add(&pgproto3.Close{ObjectType: p.pick("S", "P")[0], Name: p.name()})
	case 7:
		p.add(&pgproto3.Flush{})
	case 8, 9:
		p.add(&pgproto3.Sync{})
	case 10, 11:
		p.whole()
	case 12:
		p.copyIn()
	case 13:
		if p.IntN(4) == 0 {
			p.data()
		}
	}
}

func (p *pipeline) name() string { return p.pick("", "", "a", "b") }

// whole is what drivers send for a statement.
func (p *pipeline) whole() {
	statement, portal := p.name(), p.name()
	if statement != "" && p.IntN(2) == 0 {
		p.add(&pgproto3.Close{ObjectType: 'S', Name: statement})
	}
	p.add(&pgproto3.Parse{Name: statement, Query: p.text()}, &pgproto3.Bind{DestinationPortal: portal, PreparedStatement: statement})
	if p.IntN(2) == 0 {
		p.add(&pgproto3.Describe{ObjectType: 'P', Name: portal})
	}
	for limit := uint32(p.IntN(3)); ; {
		p.add(&pgproto3.Execute{Portal: portal, MaxRows: limit})
		if limit == 0 || p.IntN(3) == 0 {
			break
		}
	}
	if p.IntN(3) > 0 {
		p.add(&pgproto3.Sync{})
	}
}

// copyIn has the server take in data. No other message may come amid it.
func (p *pipeline) copyIn() {
	text := "COPY " + p.table + " FROM STDIN"
	if p.IntN(50) == 0 {
		p.odd = true
		text = "COPY missing FROM STDIN"
	}
	extended := p.IntN(2) == 0
	if extended {
		p.add(&pgproto3.Parse{Query: text}, &pgproto3.Bind{}, &pgproto3.Execute{})
	} else {
		p.add(&pgproto3.Query{String: text})
	}
	if extended && p.IntN(3) == 0 {
		p.add(&pgproto3.Sync{}) // as libpq does
	}
	p.data()
	if extended {
		p.add(&pgproto3.Sync{})
	}
}

func (p *pipeline) data() {
	for range p.IntN(4) {
		p.add(&pgproto3.CopyData{Data: []byte(p.pick("11\tx\n", "12\ty\n", "13\tbad\n", "wrong\tz\n", "14", "\tw\n", "1\tthere is one\n", fmt.Sprintf("%d\tx\n", 100+p.IntN(1000))))})
		if p.IntN(4) == 0 {
			p.add(&pgproto3.Flush{})
		}
	}
	if p.IntN(4) == 0 {
		p.add(&pgproto3.CopyFail{Message: "enough"})
		return
	}
	p.add(&pgproto3.CopyDone{})
}

func (p *pipeline) text() string {
	r := p.table
	if p.IntN(100) == 0 {
		p.odd = true
		return p.pick("SELECT missing FROM "+r, "CREATE TABLE "+r+" (id integer)", "DROP TABLE missing", "BEGIN; SELECT 1; COMMIT", "", " ;", "DEALLOCATE ALL")
	}
	return p.pick(
		"SELECT * FROM "+r+" ORDER BY id", "SELECT name FROM "+r+" WHERE id = 1", "SELECT count(*) FROM "+r, "TABLE "+r+" ORDER BY id LIMIT 3",
		fmt.Sprintf("SELECT %d AS c%d", p.IntN(1000), p.IntN(1000)), fmt.Sprintf("SELECT name AS c%d FROM %s WHERE id < 4 ORDER BY id", p.IntN(1000), r),
		"SELECT 1; SELECT 2", "SELEC", "SELECT 1/0", "SELECT 1; SELECT 1/0; SELECT 2",
		"BEGIN", "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT s", "ROLLBACK TO s",
		fmt.Sprintf("INSERT INTO %s VALUES (%d, 'x')", r, p.IntN(20)), fmt.Sprintf("INSERT INTO %s VALUES (%d, 'bad')", r, 30+p.IntN(20)),
		"UPDATE "+r+" SET name = 'u' WHERE id = 2 RETURNING id", "DELETE FROM "+r+" WHERE id = 5",
		"PREPARE "+p.pick("a", "b")+" AS SELECT id FROM "+r+" ORDER BY id", "EXECUTE "+p.pick("a", "b"), "DEALLOCATE "+p.pick("a", "b"),
		"DECLARE "+p.pick("a", "b")+" CURSOR FOR SELECT id FROM "+r+" ORDER BY id", "FETCH 2 FROM "+p.pick("a", "b"), "CLOSE "+p.pick("a", "b"),
		"SET statement_timeout = '20s'", "SET LOCAL work_mem = '1MB'", "SET search_path = public", "RESET search_path", "SHOW search_path",
		"COPY (SELECT * FROM "+r+" ORDER BY id) TO STDOUT",
		"LISTEN "+r, "UNLISTEN "+r, "NOTIFY "+r+", 'told'", "SELECT repeat('x', 100000), g FROM generate_series(1, 8) g", "SELECT g, g::text FROM generate_series(1, 3000) g",
	)
}

// play sends the pipeline on fresh rows and gives the frames of the answer; the
// last one says what went wrong, if anything did.
func (p *pipeline) play(t *testing.T, network, address string) (frames [][]byte) {
	rows := fmt.Sprintf("DELETE FROM %s; INSERT INTO %[1]s SELECT g, 'name ' || g FROM generate_series(1, 10) AS g", p.table)
	if _, err := p.admin.PgConn().Exec(t.Context(), rows).ReadAll(); err != nil {
		p.fail(t, err)
		return nil
	}
	conn, err := net.Dial(network, address)
	if err != nil {
		p.fail(t, err)
		return nil
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(conn, packet(version30, "user\x00wire\x00database\x00"+p.database+"\x00\x00")); err == nil {
		err = say(conn, 'Z')
	}
	if err != nil {
		p.fail(t, err)
		return nil
	}
	slow := p.IntN(4) == 0
	var tasks sync.WaitGroup
	defer tasks.Wait()
	pieces := rand.New(rand.NewPCG(p.Uint64(), 0))
	tasks.Go(func() { p.send(conn, pieces) })
	for over := false; ; {
		typ, body, err := next(conn)
		if err != nil {
			return append(frames, []byte(err.Error()))
		}
		if typ == 'A' {
			clear(body[:4]) // the process number
		}
		frames = append(frames, append([]byte{typ}, body...))
		over = over || bytes.Contains(body, []byte("that was all")) && typ == 'D'
		if over && typ == 'Z' {
			return frames
		}
		if slow && len(frames)%16 == 1 {
			time.Sleep(time.Millisecond)
		}
	}
}

func (p *pipeline) send(conn net.Conn, r *rand.Rand) {
	rest := encode(p.all...)
	most := 1 << r.IntN(12)
	for len(rest) > 0 {
		n := min(1+r.IntN(most), len(rest))
		if _, err := conn.Write(rest[:n]); err != nil {
			return
		}
		rest = rest[n:]
		if r.IntN(8) == 0 {
			time.Sleep(time.Duration(r.IntN(500)) * time.Microsecond)
		}
	}
}

// essence is what even a caller with restrictions must see of an answer: no
// notices, of errors that there is one, and of rows all. Where pgveil refuses
// what the server does not, or not before Execute, it is no more than the end.
func (p *pipeline) essence(frames [][]byte) (kept [][]byte) {
	if p.odd {
		return frames[max(0, len(frames)-3):]
	}
	for _, f := range frames {
		switch f[0] {
		case 'N':
		case 'E', 'T', 'S', 'A':
			kept = append(kept, f[:1])
		default:
			kept = append(kept, f)
		}
	}
	return kept
}

func (p *pipeline) differs(want, got [][]byte, brief bool) bool {
	if brief {
		want, got = p.essence(want), p.essence(got)
	}
	return !slices.EqualFunc(want, got, bytes.Equal)
}

// report gives what was sent, and both answers from where they differ.
func (p *pipeline) report(want, got [][]byte) string {
	var b strings.Builder
	for _, m := range p.all {
		fmt.Fprintf(&b, "  %T %+[1]v\n", m)
	}
	for i := range max(len(want), len(got)) {
		var w, g []byte
		if i < len(want) {
			w = want[i]
		}
		if i < len(got) {
			g = got[i]
		}
		mark := " "
		if !bytes.Equal(w, g) {
			mark = "!"
		}
		fmt.Fprintf(&b, "%s %.150q\n", mark, w)
		if mark == "!" {
			fmt.Fprintf(&b, "+ %.250q\n", g)
		}
	}
	return b.String()
}
