package proxy

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pgveil/pgveil/catalog/ddl"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/proxy/wire"
	"github.com/pgveil/pgveil/rewrite"
	"github.com/pgveil/pgveil/seal"
)

// sealBench gives a session with keys, and the plan of a text of a caller.
func sealBench(tb testing.TB, user, sql string) (*session, *rewrite.Plan) {
	tb.Helper()
	return sealBenchOf(tb, "vault", user, sql)
}

// sealBenchOf is sealBench for a fixture.
func sealBenchOf(tb testing.TB, fixture, user, sql string) (*session, *rewrite.Plan) {
	tb.Helper()
	dir := filepath.Join("..", "testdata", "fixtures", fixture)
	schema, err := os.ReadFile(filepath.Join(dir, "schema.sql"))
	if err != nil {
		tb.Fatal(err)
	}
	cat, err := ddl.Parse(string(schema))
	if err != nil {
		tb.Fatal(err)
	}
	doc, err := policy.Load(filepath.Join(dir, "policy.yaml"))
	if err != nil {
		tb.Fatal(err)
	}
	set, err := policy.Compile(doc, cat)
	if err != nil {
		tb.Fatal(err)
	}
	e := rewrite.New(cat, set, 1<<20)
	purpose := ""
	if user != "root" {
		purpose = "support"
	}
	access, err := set.Access(user, purpose)
	if err != nil {
		tb.Fatal(err)
	}
	of, err := e.Session(access, "public")
	if err != nil {
		tb.Fatal(err)
	}
	p, err := e.Plan(of, sql)
	if err != nil {
		tb.Fatal(err)
	}
	var keys []*seal.Key
	for _, class := range []string{"national_id", "account", "birth", "income", "limits"} {
		keys = append(keys, seal.NewKey(class, seal.Primary, time.Unix(0, 0)))
	}
	ring, err := seal.NewRing(keys...)
	if err != nil {
		tb.Fatal(err)
	}
	srv := &Server{maskKey: bytes.Repeat([]byte{7}, 32)}
	srv.UseRing(ring)
	return &session{srv: srv, engine: e}, p
}

// sealedRow gives a DataRow with values sealed as the columns of a plan are, in a format
// of the protocol.
func sealedRow(tb testing.TB, s *session, p *rewrite.Plan, format int16, values ...string) []byte {
	tb.Helper()
	with, err := s.sealersOf()
	if err != nil {
		tb.Fatal(err)
	}
	body := binary.BigEndian.AppendUint16(nil, uint16(len(values)))
	for i, v := range values {
		as := p.Seals.OutputsOf(0)[i].As[0]
		stored, err := with.stored(nil, as, []byte(v), false, nil)
		if err == nil {
			stored, err = wireOf(new([]byte), as.Stored, stored, format)
		}
		if err != nil {
			tb.Fatal(err)
		}
		body = append(binary.BigEndian.AppendUint32(body, uint32(len(stored))), stored...)
	}
	return wire.AppendFrame(nil, 'D', body)
}

// BenchmarkSealedRow opens rows of four columns that are sealed each in another way,
// clear and masked ones.
func BenchmarkSealedRow(b *testing.B) {
	for _, tt := range []struct {
		name, user, sql string
		values          []string
		format          int16
	}{
		{"text", "root", `SELECT ssn, iban, born, income FROM people`, []string{"123-45-6789", "DE89370400440532013000", "1980-02-29", "1234.50"}, 0},
		{"binary", "root", `SELECT ssn, iban, born, income FROM people`, []string{"123-45-6789", "DE89370400440532013000", "1980-02-29", "1234.50"}, 1},
		{"masked", "amy", `SELECT ssn, iban, born FROM people`, []string{"123-45-6789", "DE89370400440532013000", "1980-02-29"}, 0},
	} {
		b.Run(tt.name, func(b *testing.B) {
			s, p := sealBench(b, tt.user, tt.sql)
			all, err := s.openers(p.Seals.OutputsOf(0))
			if err != nil {
				b.Fatal(err)
			}
			frame := sealedRow(b, s, p, tt.format, tt.values...)
			o := &opening{steps: [][]opener{all}, portal: true, formats: []int16{tt.format}}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := o.open(s, frame); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBoundRow opens one value that is bound to its row, and one that is not.
func BenchmarkBoundRow(b *testing.B) {
	const iban = "DE89370400440532013000"
	b.Run("unbound", func(b *testing.B) {
		s, p := sealBench(b, "root", `SELECT iban FROM people`)
		benchOpen(b, s, p, sealedRow(b, s, p, 0, iban))
	})
	b.Run("bound", func(b *testing.B) {
		s, p := sealBenchOf(b, "bound", "root", `SELECT limits FROM cards`)
		with, err := s.sealersOf()
		if err != nil {
			b.Fatal(err)
		}
		stored, err := with.stored(nil, p.Seals.OutputsOf(0)[0].As[0], []byte("1234567890123456789012"), false, []byte("1234567~"))
		if err != nil {
			b.Fatal(err)
		}
		value := append([]byte("1234567~"), stored...)
		body := append(binary.BigEndian.AppendUint32([]byte{0, 1}, uint32(len(value))), value...)
		benchOpen(b, s, p, wire.AppendFrame(nil, 'D', body))
	})
}

func benchOpen(b *testing.B, s *session, p *rewrite.Plan, frame []byte) {
	b.Helper()
	all, err := s.openers(p.Seals.OutputsOf(0))
	if err != nil {
		b.Fatal(err)
	}
	o := &opening{steps: [][]opener{all}, portal: true}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := o.open(s, frame); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSealedBind seals the parameters of an INSERT.
func BenchmarkSealedBind(b *testing.B) {
	s, p := sealBench(b, "root", `INSERT INTO people (id, ssn, iban, born, income, name) VALUES (7, $1, $2, $3, $4, 'Ada')`)
	var all []parameter
	for _, v := range []string{"123-45-6789", "DE89370400440532013000", "1980-02-29", "1234.50"} {
		all = append(all, parameter{value: []byte(v)})
	}
	rest := appendParameters(all, []byte{0, 0})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.sealBound(p, nil, rest); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSealedLiterals seals those of a text.
func BenchmarkSealedLiterals(b *testing.B) {
	s, p := sealBench(b, "root", `INSERT INTO people (id, ssn, iban, born, income, name) VALUES (7, '123-45-6789', 'DE89370400440532013000', '1980-02-29', 1234.50, 'Ada')`)
	sql := []byte(p.SQL)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.sealText(sql, p.Seals.Holes); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSealedCopy seals 100 rows of two columns in each format, and opens them.
func BenchmarkSealedCopy(b *testing.B) {
	for _, format := range []string{"text", "csv"} {
		s, p := sealBench(b, "root", `COPY people (id, ssn, iban) FROM STDIN WITH (FORMAT `+format+`)`)
		if err := s.expectSealed(p); err != nil {
			b.Fatal(err)
		}
		in := s.sealIntake
		separator := map[string]string{"text": "\t", "csv": ","}[format]
		data := bytes.Repeat(fmt.Appendf(nil, "7%s123-45-6789%[1]sDE89370400440532013000\n", separator), 100)
		out, err := in.take(data)
		if err != nil {
			b.Fatal(err)
		}
		stored := bytes.Clone(out)
		b.Run("in/"+format, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := in.take(data); err != nil {
					b.Fatal(err)
				}
			}
		})
		_, q := sealBench(b, "root", `COPY people (id, ssn, iban) TO STDOUT WITH (FORMAT `+format+`)`)
		all, err := s.openers(q.Seals.OutputsOf(0))
		if err != nil {
			b.Fatal(err)
		}
		o := &opening{steps: [][]opener{all}, data: []*rewrite.Data{q.Seals.CopyOf(0).Written()}}
		frame := wire.AppendFrame(nil, 'd', stored)
		b.Run("out/"+format, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got, err := o.openCopy(s, frame); err != nil || !bytes.Equal(got[wire.HeadLen:], data) {
					b.Fatal(err)
				}
			}
		})
	}
}
