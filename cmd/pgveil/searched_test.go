package main

import (
	"strings"
	"testing"
)

// TestSearchOfNewTables erases somebody just after the start, where the catalog is
// older than the days of the access log's table, and then somebody who is also in
// a table that came later still: both are looked through, and no search waits for
// the catalog to be read by the clock.
func TestSearchOfNewTables(t *testing.T) {
	o := newOffice(t, "limits: {refresh: 1h}\n")
	o.edit(t, "checkpoint: 100ms", "checkpoint: 100ms, table: {every: 20ms}")
	o.pgveil(t, 0, "schema", "--apply")
	r := o.serve(t, "")
	o.until(t, "SELECT (count(*) > 0)::text FROM pg_inherits WHERE inhparent = 'pgveil.access_log'::regclass", "true")
	erase := func(request, member, want string) {
		o.says(t, 0, "approvals: 1", "erase", "member", member, "--verified-by", "account", "--because", "letter", "--token-file", "petra")
		o.says(t, 0, "erasure", "approve", request, "--token-file", "paul")
		o.until(t, "SELECT state || failure FROM pgveil.requests WHERE id = "+request, want)
	}
	erase("1", "3", "completed")
	o.exec(t, "CREATE TABLE attic AS SELECT email FROM members WHERE id = 2; DELETE FROM loans WHERE taker = 2")
	erase("2", "2", "reviewwhat the subject was known by is still in public.attic.email (1 rows)")
	r.stop(t)
	if said := r.output.String(); strings.Contains(said, "begins anew") {
		t.Errorf("a worker could not search:\n%s", said)
	}
}
