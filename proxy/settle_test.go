package proxy_test

import (
	"errors"
	"net"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgveil/pgveil/internal/pgtest"
)

// A cancellation that reaches the server while it is asked for its settings is one of
// the client's statement.
func TestCancelledProbe(t *testing.T) {
	database := pgtest.Database(t, "shop")
	fake := newFakeServer(t, nil, func(conn net.Conn) {
		for {
			typ, _, err := next(conn)
			if err != nil {
				return
			}
			var answer []byte
			switch typ {
			case 'P':
				answer = encode(&pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: "57014", Message: "canceling statement due to user request"})
			case 'Q':
				answer = encode(&pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: "22012", Message: "poisoned"}, &pgproto3.ReadyForQuery{TxStatus: 'I'})
			case 'S':
				answer = encode(&pgproto3.ReadyForQuery{TxStatus: 'I'})
			}
			if _, err := conn.Write(answer); err != nil {
				return
			}
		}
	})
	f := start(t, database, shopPolicy, fake.instead)
	conn := f.connect(t, database, "alice")
	_, err := conn.Exec(t.Context(), "SELECT id FROM customers", pgx.QueryExecModeSimpleProtocol)
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.Code != "57014" {
		t.Errorf("the client is told %v", err)
	}
}
