package proxy_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// TestSyncAmidCopy sends a Sync amid the data of a COPY that fails, where nobody
// can tell whether the server passes over it: whatever the answer to it is, what
// is asked next gets its own.
func TestSyncAmidCopy(t *testing.T) {
	w := newWireBase(t)
	f := start(t, w.name, wireRestricted)
	bad := &pgproto3.CopyData{Data: []byte("none\n")}
	ask := []pgproto3.Message{&pgproto3.Parse{Query: "COPY t (id) FROM STDIN"}, &pgproto3.Bind{}, &pgproto3.Execute{}}
	done := []pgproto3.Message{&pgproto3.Sync{}, &pgproto3.CopyDone{}, &pgproto3.Sync{}}
	for _, tt := range []struct {
		name      string
		atOnce    []pgproto3.Message
		afterCopy []pgproto3.Message // sent when the server takes in data
	}{
		{"at once", append(append(ask[:3:3], bad), done...), nil},
		{"the data in turn", append(ask[:3:3], &pgproto3.Flush{}), append([]pgproto3.Message{bad}, done...)},
		{"after the first Sync", append(ask[:3:3], &pgproto3.Sync{}), append([]pgproto3.Message{bad}, done...)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range 20 {
				conn := f.loggedIn(t, w.name, "wire")
				if err := say(conn, 'G', tt.atOnce...); err != nil {
					t.Fatal(err)
				}
				if err := say(conn, 'Z', append(tt.afterCopy, &pgproto3.Query{String: "SELECT 1"})...); err != nil {
					t.Fatal(err)
				}
				for typ := byte(0); typ != 'D'; {
					var err error
					if typ, _, err = next(conn); err != nil {
						t.Fatal(err)
					}
				}
				if err := say(conn, 'Z'); err != nil {
					t.Fatal(err)
				}
				if err := conn.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
