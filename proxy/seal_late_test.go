package proxy_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Data that comes after the server has ended a COPY in an error is passed over, as by
// the server, whatever it is.
func TestSealedCopyLate(t *testing.T) {
	f, database := startVault(t)
	for _, user := range []string{"root", "carla"} {
		fe := as(t, f, database, user).PgConn().Frontend()
		next := func(want pgproto3.BackendMessage) {
			t.Helper()
			m, err := fe.Receive()
			if err != nil {
				t.Fatalf("%s: %v", user, err)
			}
			switch want.(type) {
			case *pgproto3.CopyInResponse:
				_, ok := m.(*pgproto3.CopyInResponse)
				if !ok {
					t.Fatalf("%s: got %T", user, m)
				}
			case *pgproto3.ErrorResponse:
				e, ok := m.(*pgproto3.ErrorResponse)
				if !ok || e.Code != "22P02" {
					t.Fatalf("%s: got %T %v", user, m, m)
				}
			case *pgproto3.ReadyForQuery:
				if _, ok := m.(*pgproto3.ReadyForQuery); !ok {
					t.Fatalf("%s: got %T", user, m)
				}
			}
		}
		fe.Send(&pgproto3.Query{String: `COPY leads FROM STDIN`})
		if err := fe.Flush(); err != nil {
			t.Fatal(err)
		}
		next(&pgproto3.CopyInResponse{})
		fe.Send(&pgproto3.CopyData{Data: []byte("no number\ta\tweb\n")})
		if err := fe.Flush(); err != nil {
			t.Fatal(err)
		}
		next(&pgproto3.ErrorResponse{})
		next(&pgproto3.ReadyForQuery{})
		for _, late := range []string{"too few fields\n", "2\tb\tweb\n", "3\t\\.\n"} {
			fe.Send(&pgproto3.CopyData{Data: []byte(late)})
		}
		fe.Send(&pgproto3.CopyDone{})
		fe.Send(&pgproto3.Query{String: `SELECT 1`})
		if err := fe.Flush(); err != nil {
			t.Fatal(err)
		}
		for {
			m, err := fe.Receive()
			if err != nil {
				t.Fatalf("%s: %v", user, err)
			}
			if e, ok := m.(*pgproto3.ErrorResponse); ok {
				t.Fatalf("%s: %s", user, e.Message)
			}
			if _, ok := m.(*pgproto3.ReadyForQuery); ok {
				break
			}
		}
	}
}
