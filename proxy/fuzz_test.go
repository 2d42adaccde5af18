package proxy_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgveil/pgveil/catalog/ddl"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/rewrite"
)

// shopEngine makes an engine of the shop without a server.
func shopEngine(t testing.TB) *rewrite.Engine { return shopEngineOf(t, shopPolicy) }

func shopEngineOf(t testing.TB, text string) *rewrite.Engine {
	t.Helper()
	schema, err := os.ReadFile(filepath.Join(pgtest.Fixture(t, "shop"), "schema.sql"))
	if err != nil {
		t.Fatal(err)
	}
	cat, err := ddl.Parse(string(schema))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := policy.Parse(policy.File{Name: "policy.yaml", Text: text})
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(doc, cat)
	if err != nil {
		t.Fatal(err)
	}
	return rewrite.New(cat, set, 1<<20)
}

// texts gives every text in a client's bytes, as far as they are frames.
func texts(stream []byte) (all []string) {
	for len(stream) >= 5 {
		n := binary.BigEndian.Uint32(stream[1:])
		if n < 4 || uint64(n)+1 > uint64(len(stream)) {
			return all
		}
		body := stream[5 : n+1]
		if stream[0] == 'P' {
			_, body, _ = bytes.Cut(body, []byte{0})
		}
		if stream[0] == 'Q' || stream[0] == 'P' {
			text, _, _ := bytes.Cut(body, []byte{0})
			all = append(all, string(text))
		}
		stream = stream[n+1:]
	}
	return all
}

// judge is a server that notes every text that gets to it. It parses what it
// gets and executes nothing.
type judge struct {
	mu      sync.Mutex
	got     []string
	answers []byte        // whether an Execute ends well
	over    chan struct{} // one for each session that ended
}

func (j *judge) take(answers []byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.got, j.answers = nil, answers
}

// well decides how the next Execute or Query ends.
func (j *judge) well() bool {
	if len(j.answers) == 0 {
		return false
	}
	a := j.answers[0]
	j.answers = j.answers[1:]
	return a&1 == 1
}

func (j *judge) serve(conn net.Conn) {
	defer func() { j.over <- struct{}{} }()
	skipping, probing := false, false
	for {
		typ, body, err := next(conn)
		if err != nil || typ == 'X' {
			return
		}
		if typ == 'S' {
			skipping = false
		}
		if skipping {
			continue
		}
		answer, failed := j.answer(typ, body, &probing)
		skipping = failed && typ != 'Q' && typ != 'F'
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

func (j *judge) answer(typ byte, body []byte, probing *bool) (answer []byte, failed bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	failure := &pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: "XX000", Message: "no"}
	ready := &pgproto3.ReadyForQuery{TxStatus: 'I'}
	switch typ {
	case 'P':
		name, rest, _ := bytes.Cut(body, []byte{0})
		*probing = string(name) == "pgveil probe"
		text, _, _ := bytes.Cut(rest, []byte{0})
		j.got = append(j.got, string(text))
		if strings.HasPrefix(string(text), "pgveil refused") {
			return encode(failure), true
		}
		return encode(&pgproto3.ParseComplete{}), false
	case 'B':
		if bytes.Contains(body, []byte("pgveil refused")) {
			return encode(failure), true
		}
		return encode(&pgproto3.BindComplete{}), false
	case 'D':
		return encode(&pgproto3.NoData{}), false
	case 'C':
		return encode(&pgproto3.CloseComplete{}), false
	case 'E':
		if *probing {
			*probing = false
			return encode(&pgproto3.DataRow{Values: [][]byte{[]byte(`["pg_catalog","public"]`), nil, []byte("on")}}, &pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")}), false
		}
		if j.well() {
			return encode(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 0")}), false
		}
		return encode(failure), true
	case 'Q':
		text, _, _ := bytes.Cut(body, []byte{0})
		j.got = append(j.got, string(text))
		if !strings.HasPrefix(string(text), "pgveil refused") && j.well() {
			return encode(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 0")}, ready), false
		}
		return encode(failure, ready), true
	case 'F':
		return encode(failure, ready), true
	case 'S':
		return encode(ready), false
	default:
		return nil, false
	}
}

// FuzzClientBytes sends any bytes after a login. The session goes on or ends,
// and no text gets to the server but what a plan made of one that was sent, the
// poison of a refusal and pgveil's own question.
func FuzzClientBytes(f *testing.F) {
	query := func(sql string) []byte { return encode(&pgproto3.Query{String: sql}) }
	f.Add(query("SELECT 1"), []byte{1})
	f.Add(query("SELECT ssn FROM customers; SELECT 1"), []byte{1})
	f.Add(append(query("SELECT email FROM customers WHERE id = 12"), query("SELECT email FROM customers WHERE id = 13")...), []byte{1, 1, 1})
	f.Add(encode(&pgproto3.Parse{Query: "SELECT first_name FROM customers"}, &pgproto3.Bind{}, &pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{}, &pgproto3.Sync{}), []byte{0, 1})
	f.Add(encode(&pgproto3.Parse{Name: "a", Query: "SELECT 1"}, &pgproto3.Parse{Name: "a", Query: "SELECT pg_read_file('x')"}, &pgproto3.Flush{}, &pgproto3.Bind{PreparedStatement: "a"}, &pgproto3.Sync{}), []byte{1, 1})
	f.Add(encode(&pgproto3.Query{String: "PREPARE p AS SELECT 1; EXECUTE p"}, &pgproto3.Query{String: "DISCARD ALL"}, &pgproto3.Close{ObjectType: 'S', Name: "p"}, &pgproto3.Sync{}), []byte{1, 1, 1})
	f.Add(encode(&pgproto3.FunctionCall{Function: 1}, &pgproto3.CopyData{Data: []byte("x")}, &pgproto3.CopyDone{}, &pgproto3.CopyFail{}, &pgproto3.Terminate{}), []byte{1})
	f.Add([]byte("Q\x00\x00\x00\x03"), []byte{})
	f.Add([]byte("B\x7f\xff\xff\xff"), []byte{})

	engine, j := shopEngine(f), &judge{over: make(chan struct{}, 1)}
	server := newFakeServer(f, nil, j.serve)
	front := &front{}
	var err error
	if front.Enforcer, err = proxy.NewEnforcer(f.Context(), func(context.Context) (*rewrite.Engine, error) { return engine, nil }, func(context.Context) (uint64, error) { return 1, nil }); err != nil {
		f.Fatal(err)
	}
	front.run(f, "shop", nil, []func(*proxy.Options){server.instead})
	// Texts are planned here by an engine of their own, with nothing cached.
	alone := shopEngine(f)
	access, err := alone.Policy.Access("alice", "")
	if err != nil {
		f.Fatal(err)
	}
	session := rewrite.Session{Access: access, Path: []string{"pg_catalog", "public"}}
	f.Fuzz(func(t *testing.T, client, answers []byte) {
		j.take(answers)
		conn := front.loggedIn(t, "shop", "alice")
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		go func() {
			_, _ = conn.Write(client)
			_ = conn.(*net.TCPConn).CloseWrite()
		}()
		if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Fatalf("the session does not end: %v", err)
		}
		<-j.over
		allowed := map[string]bool{}
		for _, sql := range texts(client) {
			if p, err := alone.Plan(session, sql); err == nil {
				allowed[p.SQL] = true
			}
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		for _, sql := range j.got {
			if !allowed[sql] && !strings.HasPrefix(sql, "pgveil refused ") && !strings.HasPrefix(sql, "SELECT pg_catalog.array_to_json(pg_catalog.current_schemas(true))") {
				t.Errorf("%q got to the server", sql)
			}
		}
		if strings.Contains(front.Log.String(), "panic in a session") {
			t.Fatal(front.Log)
		}
	})
}

// BenchmarkRoundTrip asks for one row, straight and through pgveil.
func BenchmarkRoundTrip(b *testing.B) {
	database := pgtest.Database(b, "shop")
	f := start(b, database, shopPolicy)
	direct := pgtest.Connect(b, pgtest.Server(b).DSN(database, "alice"))
	through := f.connect(b, database, "alice")
	const sql = "SELECT email FROM customers WHERE id = $1"
	b.Run("direct", func(b *testing.B) {
		for b.Loop() {
			var email string
			if err := direct.QueryRow(b.Context(), sql, 1).Scan(&email); err != nil {
				b.Fatal(err)
			}
		}
	})
	if _, err := through.Prepare(b.Context(), "s", sql); err != nil {
		b.Fatal(err)
	}
	b.Run("pgveil", func(b *testing.B) {
		for b.Loop() {
			if r := through.PgConn().ExecPrepared(b.Context(), "s", [][]byte{[]byte("1")}, nil, nil).Read(); r.Err != nil {
				b.Fatal(r.Err)
			}
		}
	})
}
