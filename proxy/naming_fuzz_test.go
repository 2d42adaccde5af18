package proxy_test

import (
	"encoding/binary"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/rewrite"
)

// FuzzNaming has answers of a server, whatever they hold, read for the keys of
// subjects. The client gets whole columns from the front, or an error.
func FuzzNaming(f *testing.F) {
	e := shopEngineOf(f, namingPolicy)
	e.NameSubjects()
	customers, ok := e.Catalog.Relation(nil, "public", "customers")
	if !ok || len(e.KeysOf(rewrite.Origin{Relation: customers.OID, Column: 1})) != 1 {
		f.Fatal("customers have no key")
	}
	columns := &pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{
		{Name: []byte("a"), TableOID: customers.OID, TableAttributeNumber: 1, DataTypeOID: 23, Format: 1}, {Name: []byte("b"), DataTypeOID: 25},
	}}
	row := &pgproto3.DataRow{Values: [][]byte{nil, []byte("1")}}
	f.Add(encode(columns)[5:], encode(row)[5:], true, true)
	f.Add(encode(columns)[5:], encode(row)[5:], false, true)
	f.Add(encode(columns)[5:], encode(&pgproto3.DataRow{})[5:], false, true)
	f.Fuzz(func(t *testing.T, columns, row []byte, added, counted bool) {
		step := &rewrite.Naming{Reached: []rewrite.Reached{{Kind: "customer", Each: 1}}, Counted: counted}
		if added {
			step.Added = []string{"customer"}
		} else if counted {
			step.Lone = "customer"
		}
		described, end, shown, err := proxy.ReadAnswer(e, step, columns, row)
		if err != nil {
			return
		}
		if count := int(binary.BigEndian.Uint16(row)); shown != count-step.Hidden() || described > len(columns) || end > len(row)+5 || end < 7 {
			t.Errorf("of %d columns %d are shown: %d of %d bytes described, %d of %d in the row", count, shown, described, len(columns), end, len(row)+5)
		}
	})
}

// FuzzResultFormats has the end of Bind messages read as the server would.
func FuzzResultFormats(f *testing.F) {
	b := &pgproto3.Bind{Parameters: [][]byte{nil, []byte("x")}, ParameterFormatCodes: []int16{0}, ResultFormatCodes: []int16{1, 0}}
	f.Add(encode(b)[7:])
	f.Fuzz(func(t *testing.T, rest []byte) {
		formats, at, ok := proxy.ResultFormats(rest)
		if ok && (len(rest)-at != 2+2*len(formats) || int(binary.BigEndian.Uint16(rest[at:])) != len(formats)) {
			t.Errorf("%d formats at %d of %d bytes", len(formats), at, len(rest))
		}
		var read pgproto3.Bind
		if err := read.Decode(append([]byte{0, 0}, rest...)); err == nil && ok && len(read.ResultFormatCodes) != len(formats) {
			t.Errorf("%d formats, want %d", len(formats), len(read.ResultFormatCodes))
		}
	})
}
