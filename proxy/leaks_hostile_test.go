package proxy_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/recognise"
	"github.com/pgveil/pgveil/rewrite"
)

var scrubAll = policy.Scan{Scrub: recognise.All}

// TestLongRows has rows looked into that are long, and refused or told of that are
// too long for it. A row has no end in it, so that the server sends all of it.
func TestLongRows(t *testing.T) {
	f, database, told := leaky(t)
	for _, login := range []string{"alice", "dora"} {
		conn := f.connect(t, database, login)
		got := text(t.Context(), conn, "SELECT repeat('word ', 3 << 20) || body FROM calls WHERE id = 1")
		if len(got) < 15<<20 || !strings.HasSuffix(got, "word write to ***************\n") {
			t.Errorf("%s: of 15 MB the end is %q", login, got[max(0, len(got)-40):])
		}
		const tooLong = "SELECT repeat('word ', 4 << 20) || body FROM "
		if got := text(t.Context(), conn, tooLong+"calls WHERE id = 1"); !strings.HasPrefix(got, "42501 a row of") {
			t.Errorf("%s: of 20 MB the client gets %.80q", login, got)
		}
		var b bytes.Buffer
		_, err := conn.PgConn().CopyTo(t.Context(), &b, "COPY ("+tooLong+"calls WHERE id = 1) TO STDOUT")
		if err == nil || !strings.Contains(err.Error(), "42501") || b.Len() > 0 {
			t.Errorf("%s: COPY of 20 MB ends with %v, after %d bytes", login, err, b.Len())
		}
		if got := text(t.Context(), conn, tooLong+"memos WHERE id = 2"); !strings.HasSuffix(got, "4111111111111111\n") {
			t.Errorf("%s: of 20 MB that are not refused the client gets %d bytes", login, len(got))
		}
		if got, want := told.take(), "personal_data_read "+login+" public.memos.body  1"; got != want {
			t.Errorf("%s: told %q, want %q", login, got, want)
		}
	}
}

// TestCutCopies has the data of COPY come in pieces of every size: what leaves is
// the same.
func TestCutCopies(t *testing.T) {
	database := pgtest.Database(t, "shop")
	admin := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	exec(t, admin, leaksSchema)
	for _, format := range []string{"text", "csv", "binary"} {
		var b bytes.Buffer
		if _, err := admin.PgConn().CopyTo(t.Context(), &b, "COPY calls TO STDOUT (FORMAT "+format+")"); err != nil {
			t.Fatal(err)
		}
		want, found := "", int64(7) // a number is one of them, as data has no types
		if format == "binary" {
			found = 6
		}
		for size := b.Len(); size > 0; size-- {
			s := proxy.NewSieve(scrubAll, format == "binary")
			var got []byte
			for piece := range slices.Chunk(bytes.Clone(b.Bytes()), size) {
				whole, refused, err := s.Copy(piece)
				if refused || err != nil {
					t.Fatalf("%s in pieces of %d: %t, %v", format, size, refused, err)
				}
				got = append(got, whole...)
			}
			rest, refused := s.Rest()
			if got = append(got, rest...); refused || len(got) != b.Len() || s.Found() != found {
				t.Fatalf("%s in pieces of %d: %d of %d bytes, %d found", format, size, len(got), b.Len(), s.Found())
			}
			if want == "" {
				want = string(got)
			}
			if string(got) != want || bytes.Contains(got, []byte("4111 1111")) {
				t.Fatalf("%s in pieces of %d:\n%q, want\n%q", format, size, got, want)
			}
		}
	}
}

// TestOpaqueValues refuses what it cannot write over, and takes no lengths for text.
func TestOpaqueValues(t *testing.T) {
	row := func(value []byte) []byte { return encode(&pgproto3.DataRow{Values: [][]byte{value}}) }
	sized := func(b []byte, value string) []byte {
		return append(binary.BigEndian.AppendUint32(b, uint32(len(value))), value...)
	}
	long := strings.Repeat("x ", 0x34/2-8) + " bob@example.com " // its length ends in a digit
	for _, tt := range []struct {
		name    string
		value   []byte
		refused bool
		found   int64
	}{
		{"a range of text", append([]byte{2}, sized(sized(nil, "bob@example.com"), "z")...), true, 1},
		{"a vector of words", []byte("\x00\x00\x00\x01bob@example.com\x00\x00\x00"), true, 1},
		{"a vector of nobody", []byte("\x00\x00\x00\x01nobody\x00\x00\x00"), false, 0},
		{"an hstore", sized(sized([]byte{0, 0, 0, 1}, "k"), "bob@example.com"), false, 1},
		{"a record in which a length is a digit", sized([]byte{0, 0, 0, 1, 0, 0, 0, 25}, "4111111111111111"+strings.Repeat(" ", 0x34-16)), false, 1},
		{"an array in which a length is a letter", sized([]byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 25, 0, 0, 0, 1, 0, 0, 0, 1}, long), false, 1},
		{"an array of more than there is", []byte{0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 25, 127, 255, 255, 255, 0, 0, 0, 1}, false, 0},
		{"not UTF-8", []byte("\xff\xfebob@example.com\xff"), false, 1},
		{"a number", []byte{0, 0, 0, 0, 0, 0, 0, 1}, false, 0},
	} {
		s := proxy.NewSieve(scrubAll, false)
		frame := row(tt.value)
		refused, err := s.Row(frame, nil)
		if refused != tt.refused || err != nil || s.Found() != tt.found {
			t.Errorf("%s: refused %t, found %d, %v; want %t, %d", tt.name, refused, s.Found(), err, tt.refused, tt.found)
		}
		if !refused && bytes.Contains(frame, []byte("bob@")) {
			t.Errorf("%s: %q", tt.name, frame)
		}
	}
}

// FuzzSieve has any rows and data looked into: nothing changes its length, and what
// is cut anywhere comes to the same.
func FuzzSieve(f *testing.F) {
	f.Add(encode(&pgproto3.DataRow{Values: [][]byte{[]byte("bob@example.com"), nil, {}}})[5:], uint16(3))
	f.Add([]byte("1\tbob@example.com\n2\t4111111111111111\n"), uint16(20))
	f.Add([]byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x0fbob@example.com\xff\xff"), uint16(30))
	f.Fuzz(func(t *testing.T, data []byte, cut uint16) {
		frame := append(binary.BigEndian.AppendUint32([]byte{'D'}, uint32(len(data)+4)), data...)
		before := proxy.Lengths(frame)
		if _, err := proxy.NewSieve(scrubAll, false).Row(frame, []uint32{25, 0, 20}); err == nil && !slices.Equal(before, proxy.Lengths(frame)) {
			t.Errorf("the lengths %v became %v", before, proxy.Lengths(frame))
		}
		for _, isBinary := range []bool{false, true} {
			s := proxy.NewSieve(scrubAll, isBinary)
			var got []byte
			at := min(int(cut), len(data))
			refused := false
			for _, piece := range [][]byte{bytes.Clone(data[:at]), bytes.Clone(data[at:])} {
				whole, no, err := s.Copy(piece)
				if err != nil {
					t.Fatal(err)
				}
				got, refused = append(got, whole...), refused || no
			}
			rest, no := s.Rest()
			if got = append(got, rest...); !refused && !no && len(got) != len(data) {
				t.Errorf("%d bytes became %d", len(data), len(got))
			}
		}
	})
}

// BenchmarkSieve looks into rows as a CRM's tickets are: prose, and some columns
// beside it.
func BenchmarkSieve(b *testing.B) {
	prose := strings.Repeat("The customer called again about the delivery of 12 chairs on 3 March; we agreed on a refund of 149.90 EUR. ", 4)
	for _, bb := range []struct{ name, body string }{
		{"nothing in it", prose}, {"a card in each row", prose + "4111 1111 1111 1111"},
	} {
		row := encode(&pgproto3.DataRow{Values: [][]byte{[]byte("4711"), []byte("open"), []byte(bb.body), []byte("2026-11-22 20:00:00+00"), []byte(`{"n": 1, "who": "agent 7"}`)}})
		rows := bytes.Repeat(row, 1000)
		types := []uint32{20, 25, 25, 1184, 3802}
		b.Run(bb.name, func(b *testing.B) {
			s := proxy.NewSieve(scrubAll, false)
			work := make([]byte, len(rows))
			b.SetBytes(int64(len(rows)))
			b.ReportAllocs()
			for b.Loop() {
				copy(work, rows)
				for at := 0; at < len(work); at += len(row) {
					if _, err := s.Row(work[at:at+len(row)], types); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkScanOf is what a statement pays under a policy with scans: one that reads
// no scanned column, and one that does.
func BenchmarkScanOf(b *testing.B) {
	e := shopEngineOf(b, strings.Replace(shopPolicy, "name:  [public.customers.first_name]", "name:  {columns: [public.customers.first_name], scan: scrub}", 1))
	a, err := e.Policy.Access("alice", "support")
	if err != nil {
		b.Fatal(err)
	}
	for _, sql := range []string{"SELECT id, email, region FROM customers", "SELECT id, first_name FROM customers"} {
		p, err := e.Plan(rewrite.Session{Access: a, Path: []string{"pg_catalog", "public"}}, sql)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(sql, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				proxy.ScanOf(a, p)
			}
		})
	}
}

// TestEndlessRowOfCopy holds no more of a row than is looked into.
func TestEndlessRowOfCopy(t *testing.T) {
	for _, isBinary := range []bool{false, true} {
		s := proxy.NewSieve(scrubAll, isBinary)
		piece := []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x7f\xff\xff\xff" + strings.Repeat("x", 10<<20))
		whole, refused, err := s.Copy(piece)
		if whole != nil || refused || err != nil {
			t.Errorf("of a row's beginning %d bytes leave, %t, %v", len(whole), refused, err)
		}
		if _, _, err = s.Copy(piece); err == nil {
			t.Error("20 MB are held")
		}
	}
}

// TestRefusedInAPipeline refuses a row of a statement behind which others are on
// their way already: they are answered.
func TestRefusedInAPipeline(t *testing.T) {
	f, database, _ := leaky(t)
	const some = "SELECT body FROM letters WHERE id IN (1, 5000) ORDER BY id"
	got := converse(t, f, database, []pgproto3.FrontendMessage{
		prepare("", some), bind("", ""), execute("", 0), syncs,
		prepare("", "SELECT 3"), bind("", ""), execute("", 0), syncs, query(some), query("SELECT 4"),
	})
	if strings.Contains(got, "4111") || strings.Count(got, "ERROR 42501 a row holds what may not leave: card") != 2 || strings.Count(got, "ready I") != 4 {
		t.Error(got)
	}
	for _, answer := range []string{"letter 1", "3", "4"} {
		if !strings.Contains(got, answer) {
			t.Errorf("%q is missing in\n%s", answer, got)
		}
	}
}

// TestCursorBesideOthers goes on with a cursor, of one class, in a text that reads
// another.
func TestCursorBesideOthers(t *testing.T) {
	f, database, _ := leaky(t)
	conn := f.connect(t, database, "alice")
	for _, sql := range []string{
		"BEGIN; DECLARE c CURSOR FOR SELECT body FROM memos", "DECLARE d CURSOR FOR SELECT body FROM calls ORDER BY id",
		"FETCH 1 FROM c",
		"FETCH 1 FROM c; SELECT body FROM calls ORDER BY id",
		"FETCH 1 FROM c; FETCH 1 FROM d",
	} {
		if got := text(t.Context(), conn, sql); strings.Contains(got, "write to bob@example.com") || strings.Contains(got, "ERROR") {
			t.Errorf("%s gives %s", sql, got)
		}
	}
}
