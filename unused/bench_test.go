package unused

import (
	"fmt"
	"testing"
	"time"

	"github.com/pgveil/pgveil/audit"
)

// BenchmarkLog reads a log of a million records, statements and outcomes as a
// proxy writes them, and counts them.
func BenchmarkLog(b *testing.B) {
	const records = 1_000_000
	dir := b.TempDir()
	log, err := audit.Open(dir, audit.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for i := range records / 2 {
		r := said(fmt.Sprintf("user%d", i%500), "agent", "support", fmt.Sprintf("SELECT email, name FROM people WHERE id = ? LIMIT %d", i%2000), "email name id")
		r.Time = testFrom.Add(time.Duration(i) * time.Second)
		r.Session, r.Client, r.App, r.Database, r.Generation = "9f2c41aa03be77d1", "10.0.3.17:50112", "crm-web", "crm", "0123456789abcdef"
		seq, err := log.Append(&r)
		if err != nil {
			b.Fatal(err)
		}
		end := audit.Record{Kind: audit.KindOutcome, Time: r.Time, Ref: seq, Session: r.Session, Login: r.Login, Rows: 3, Bytes: 210, Tag: "SELECT 3", Duration: time.Millisecond}
		if _, err := log.Append(&end); err != nil {
			b.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		b.Fatal(err)
	}
	set := testSet(b, testPolicy)
	b.ReportAllocs()
	for b.Loop() {
		tally := New(set.Inventory(), Period{From: testFrom, To: testTo, Few: 3}, set.Generation())
		for r, err := range audit.ReadKinds(dir, Kinds()...) {
			if err != nil {
				b.Fatal(err)
			}
			tally.Add(&r)
		}
		if got := tally.Report().Log.Statements; got != records/2 {
			b.Fatalf("%d statements, want %d", got, records/2)
		}
	}
	b.ReportMetric(records*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
