package proxy_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgveil/pgveil/internal/wirescript"
)

// refusedSQL is refused for everybody with restrictions, and failingSQL is what
// PostgreSQL itself refuses at the same moment.
const (
	refusedSQL = `SELECT pg_read_file('x')`
	failingSQL = `SELEKT pg_read_file('x')`
)

// refusals are pipelines with a statement in the place of BAD.
const refusals = `
block alone
send
Query {"String": "BAD"}
Query {"String": "SELECT 'after'"}
until ReadyForQuery ReadyForQuery

block behind and before others in a string
send
Query {"String": "SELECT 1; BAD; SELECT 2"}
Query {"String": "INSERT INTO t VALUES (99, 'x', 1); BAD"}
Query {"String": "SELECT count(*) FROM t"}
until ReadyForQuery ReadyForQuery ReadyForQuery

block in a transaction
send
Query {"String": "BEGIN"}
Query {"String": "BAD"}
Query {"String": "SELECT 'aborted'"}
Query {"String": "BAD"}
Query {"String": "COMMIT"}
Query {"String": "SELECT 'after'"}
until ReadyForQuery ReadyForQuery ReadyForQuery ReadyForQuery ReadyForQuery ReadyForQuery

block in a string that begins a transaction
send
Query {"String": "BEGIN; SELECT 1; BAD"}
Query {"String": "SELECT 'none begun'"}
until ReadyForQuery ReadyForQuery

block back to a savepoint
send
Query {"String": "BEGIN; SAVEPOINT a; INSERT INTO t VALUES (98, 'x', 1)"}
Query {"String": "BAD"}
Query {"String": "ROLLBACK TO a"}
Query {"String": "SELECT count(*) FROM t; COMMIT"}
until ReadyForQuery ReadyForQuery ReadyForQuery ReadyForQuery

block the unnamed statement
send
Parse {"Query": "BAD"}
Describe {"ObjectType": "S"}
Bind
Execute
Sync
Bind
Execute
Sync
Parse {"Query": "SELECT 'after'"}
Bind
Execute
Sync
until ReadyForQuery ReadyForQuery ReadyForQuery

block the unnamed statement that there was is gone
send
Parse {"Query": "SELECT 'before'"}
Sync
Parse {"Query": "BAD"}
Sync
Bind
Execute
Sync
until ReadyForQuery ReadyForQuery ReadyForQuery

block a named statement
send
Parse {"Name": "s", "Query": "BAD"}
Bind {"PreparedStatement": "s"}
Execute
Sync
Describe {"ObjectType": "S", "Name": "s"}
Sync
Bind {"PreparedStatement": "s"}
Sync
Close {"ObjectType": "S", "Name": "s"}
Parse {"Name": "s", "Query": "SELECT 'after'"}
Bind {"PreparedStatement": "s"}
Execute
Sync
until ReadyForQuery ReadyForQuery ReadyForQuery ReadyForQuery

block a name that is taken keeps its statement
send
Parse {"Name": "s", "Query": "SELECT 'before'"}
Sync
Parse {"Name": "s", "Query": "BAD"}
Sync
Bind {"PreparedStatement": "s"}
Execute
Sync
until ReadyForQuery ReadyForQuery ReadyForQuery

block first in a pipeline
send
Parse {"Query": "BAD"}
Bind
Execute
Parse {"Query": "SELECT 'never'"}
Bind
Execute
Sync
Query {"String": "SELECT 'after'"}
until ReadyForQuery ReadyForQuery

block in the middle of a pipeline
send
Parse {"Query": "INSERT INTO t VALUES (97, 'x', 1)"}
Bind
Execute
Parse {"Query": "BAD"}
Bind
Execute
Parse {"Query": "SELECT 'never'"}
Bind
Execute
Query {"String": "SELECT 'never'"}
Sync
Query {"String": "SELECT count(*) FROM t"}
until ReadyForQuery ReadyForQuery

block last in a pipeline
send
Parse {"Query": "SELECT 1"}
Bind
Execute
Parse {"Query": "BAD"}
Sync
until ReadyForQuery

block behind an error
send
Parse {"Query": "SELECT 1/0"}
Bind
Execute
Parse {"Query": "BAD"}
Bind
Execute
Sync
until ReadyForQuery

block before an error
send
Parse {"Query": "BAD"}
Sync
Parse {"Query": "SELECT 1/0"}
Bind
Execute
Sync
until ReadyForQuery ReadyForQuery

block in a transaction of a pipeline
send
Parse {"Query": "BEGIN"}
Bind
Execute
Parse {"Query": "BAD"}
Bind
Execute
Parse {"Query": "COMMIT"}
Bind
Execute
Sync
Parse {"Query": "SELECT 'aborted'"}
Sync
Parse {"Query": "ROLLBACK"}
Bind
Execute
Sync
until ReadyForQuery ReadyForQuery ReadyForQuery

block in a transaction that has failed
send
Query {"String": "BEGIN"}
Query {"String": "SELECT 1/0"}
Query {"String": "BAD"}
Parse {"Query": "BAD"}
Sync
Query {"String": "ROLLBACK"}
until ReadyForQuery ReadyForQuery ReadyForQuery ReadyForQuery ReadyForQuery

block is told without a Sync
send
Parse {"Query": "BAD"}
Flush
until ErrorResponse
send
Parse {"Query": "SELECT 'never'"}
Flush
Sync
until ReadyForQuery

block between suspended portals
send
Query {"String": "BEGIN"}
Parse {"Query": "SELECT id FROM t ORDER BY id"}
Bind {"DestinationPortal": "p"}
Execute {"Portal": "p", "MaxRows": 2}
Sync
Parse {"Query": "BAD"}
Sync
Execute {"Portal": "p", "MaxRows": 2}
Sync
Query {"String": "ROLLBACK"}
until ReadyForQuery ReadyForQuery ReadyForQuery ReadyForQuery ReadyForQuery

block a Query in place of Sync
send
Parse {"Query": "SELECT 1"}
Bind
Execute
Query {"String": "BAD"}
Query {"String": "SELECT 'after'"}
until ReadyForQuery ReadyForQuery

block many
send 300
Query {"String": "BAD"}
Parse {"Query": "SELECT 1"}
Bind
Execute
Parse {"Name": "n", "Query": "BAD"}
Bind {"PreparedStatement": "n"}
Sync
send
Query {"String": "SELECT 'last'"}
until DataRow ReadyForQuery

block data behind it
send
Query {"String": "BAD"}
CopyData {"Data": "310a"}
CopyDone
Query {"String": "SELECT 'after'"}
until ReadyForQuery ReadyForQuery

block data behind it in the extended protocol
send
Parse {"Query": "BAD"}
Bind
Execute
Sync
CopyData {"Data": "310a"}
CopyDone
Sync
Query {"String": "SELECT 'after'"}
until ReadyForQuery ReadyForQuery ReadyForQuery

block behind a COPY
send
Query {"String": "COPY t (id) FROM STDIN"}
CopyData {"Data": "33350a"}
CopyDone
Query {"String": "BAD"}
Query {"String": "SELECT count(*) FROM t"}
until ReadyForQuery ReadyForQuery ReadyForQuery

block Terminate behind it
send
Query {"String": "BAD"}
Terminate
until ReadyForQuery
end
`

// sqlstate finds the SQLSTATE of the errors that the two ways of failing differ in.
var sqlstate = regexp.MustCompile(`ERROR (42501|42601)`)

// TestRefusalsKeepOrder runs pipelines with a refused statement, and straight
// against PostgreSQL with one that fails by itself, which must look the same.
func TestRefusalsKeepOrder(t *testing.T) {
	w := newWireBase(t)
	clerk := start(t, w.name, wireRestricted)
	failing, err := wirescript.Parse("refusals", strings.ReplaceAll(refusals, "BAD", failingSQL))
	if err != nil {
		t.Fatal(err)
	}
	refused, err := wirescript.Parse("refusals", strings.ReplaceAll(refusals, "BAD", refusedSQL))
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range refused.Blocks {
		t.Run(b.Name, func(t *testing.T) {
			want := wirescript.Brief(w.transcript(t, failing.Blocks[i], w.direct(t)))
			got := wirescript.Brief(w.transcript(t, b, w.target("tcp", clerk.Addr)))
			if !strings.Contains(got, "ERROR 42501") && !strings.Contains(b.Name, "behind an error") {
				t.Errorf("nothing was refused:\n%s", got)
			}
			same := func(s string) string { return sqlstate.ReplaceAllString(s, "ERROR") }
			if diff := cmp.Diff(same(want), same(got)); diff != "" {
				t.Errorf("-PostgreSQL +pgveil:\n%s", diff)
			}
		})
	}
}
