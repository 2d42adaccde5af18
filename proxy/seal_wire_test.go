package proxy_test

import (
	"strings"
	"testing"
)

// Sealed values are opened in every order of messages that the protocol allows.
func TestSealedDialogues(t *testing.T) {
	f, database := startVault(t)
	run(t, as(t, f, database, "root"), `INSERT INTO leads VALUES (1, 'one', 'w'), (2, 'two', 'w'), (3, 'three', 'w')`)
	const parse, all = `Parse {"Name": "s", "Query": "SELECT ssn FROM leads WHERE ssn = $1"}`, `Parse {"Query": "SELECT ssn FROM leads ORDER BY id"}`
	bind := func(value string) string {
		return `Bind {"PreparedStatement": "s", "Parameters": [{"text": "` + value + `"}]}`
	}
	for _, tt := range []struct {
		name   string
		script []string
		want   string
	}{
		{"an error amid a pipeline", []string{parse, bind("one"), "Execute", `Parse {"Query": "SELECT 1/0"}`, "Bind", "Execute", bind("two"), "Execute", "Sync", bind("three"), "Execute", "Sync"}, "one 22012 three"},
		{"a refusal amid a pipeline", []string{parse, bind("one"), "Execute", `Parse {"Query": "SELECT upper(ssn) FROM leads"}`, bind("two"), "Execute", "Sync", bind("three"), "Execute", "Sync"}, "one 0A000 three"},
		{"a portal in pieces", []string{all, "Bind", `Execute {"MaxRows": 2}`, "Flush", `Execute {"MaxRows": 2}`, "Sync"}, "one two suspended three"},
		{"a portal that FETCH reads", []string{`Query {"String": "BEGIN"}`, all, `Bind {"DestinationPortal": "p"}`, "Sync", `Query {"String": "FETCH 2 FROM p"}`, `Query {"String": "MOVE 0 IN p; FETCH ALL p"}`}, "one two three"},
		{"in binary form", []string{all, `Bind {"ResultFormatCodes": [1]}`, `Describe {"ObjectType": "P"}`, "Execute", "Sync"}, "one two three"},
		{"a cursor in binary form", []string{`Query {"String": "BEGIN; DECLARE c BINARY SCROLL CURSOR FOR SELECT ssn FROM leads ORDER BY id; FETCH 1 FROM c"}`, `Query {"String": "FETCH LAST FROM c; FETCH PRIOR FROM c"}`}, "one three two"},
		{"a cursor that stays", []string{`Query {"String": "DECLARE h CURSOR WITH HOLD FOR SELECT ssn FROM leads ORDER BY id"}`, `Query {"String": "FETCH h"}`, `Query {"String": "FETCH h"}`}, "one two"},
		{"PREPARE and EXECUTE", []string{`Query {"String": "PREPARE q AS SELECT ssn FROM leads WHERE ssn = 'two'"}`, `Query {"String": "EXECUTE q"}`, `Query {"String": "DEALLOCATE q; PREPARE q AS SELECT ssn FROM leads WHERE id = $1; EXECUTE q (3)"}`}, "two three"},
		{"a statement of SQL by the protocol", []string{`Query {"String": "PREPARE r AS SELECT ssn FROM leads WHERE id = 1"}`, `Bind {"PreparedStatement": "r"}`, "Execute", "Sync"}, "one"},
		{"after Close", []string{parse, "Sync", `Close {"ObjectType": "S", "Name": "s"}`, `Describe {"ObjectType": "S", "Name": "s"}`, "Sync", parse, bind("one"), "Execute", "Sync"}, "26000 one"},
		{"another meaning of a name", []string{parse, `Close {"ObjectType": "S", "Name": "s"}`, `Parse {"Name": "s", "Query": "SELECT source FROM leads WHERE source = $1 LIMIT 1"}`, bind("w"), "Execute", "Sync"}, "w"},
		{"too few parameters", []string{parse, `Bind {"PreparedStatement": "s"}`, "Execute", "Sync", bind("one"), "Execute", "Sync"}, "08P01 one"},
	} {
		for _, user := range []string{"root", "carla"} {
			t.Run(tt.name+" "+user, func(t *testing.T) {
				script := "send\n" + strings.Join(tt.script, "\n") + "\nTerminate\nend"
				if got := f.wire(t, database, user, script); got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			})
		}
	}
}
