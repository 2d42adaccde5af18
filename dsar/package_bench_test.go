package dsar

import (
	"io"
	"runtime"
	"testing"
	"time"
)

// BenchmarkPackage packs a subject of a million rows, and tells how much of the
// files is written in a second and the most memory that was in use.
func BenchmarkPackage(b *testing.B) {
	conn, g := scene(b, `
		CREATE TABLE customers (id int PRIMARY KEY, name text);
		CREATE TABLE activities (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, kind text, at timestamptz, note text);
		INSERT INTO customers VALUES (1, 'Ada');
		INSERT INTO activities SELECT n, 1, 'call', now(), 'a note with "quotes", and more: ' || md5(n::text) FROM generate_series(1, 1000000) AS n;
		CREATE INDEX ON activities (customer_id);
		ANALYZE`, customerByID)
	var most uint64
	o := PackageOptions{Progress: func(Progress) {
		var m runtime.MemStats
		if runtime.ReadMemStats(&m); m.HeapAlloc > most {
			most = m.HeapAlloc
		}
	}}
	for b.Loop() {
		began := time.Now()
		m, err := Package(b.Context(), conn, g, byKey("1"), o, io.Discard)
		if err != nil {
			b.Fatal(err)
		}
		var size int64
		for _, f := range m.Files {
			size += f.Size
		}
		b.ReportMetric(float64(size)/1e6, "MB")
		b.ReportMetric(float64(size)/1e6/time.Since(began).Seconds(), "MB/s")
		b.ReportMetric(float64(most)/1e6, "heap-MB")
	}
}
