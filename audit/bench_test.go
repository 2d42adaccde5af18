package audit

import (
	"context"
	"testing"
)

func sample() *Record {
	return &Record{
		Kind: KindStatement, ID: "7QX4M2KD", Session: "9f2c41aa03be77d1", Login: "crm_app", User: "alice",
		Roles: []string{"support_agent"}, Purpose: "support", Ticket: "T-1042", Client: "10.0.3.17:50112", App: "crm-web",
		Database: "crm", Generation: "14", Command: "SELECT", Fingerprint: "50fde20626009aba", Decision: "mask",
		Shape:   "SELECT id, first_name, email, card FROM crm.customers WHERE id = $1",
		Reasons: []string{"policy/crm.yaml:42"},
		Columns: []Column{
			{Name: "crm.customers.first_name", Class: "name", Show: "clear", Use: "read"},
			{Name: "crm.customers.card", Class: "card", Show: "last(4)", Use: "read"},
		},
	}
}

func openLog(tb testing.TB, dir string, opts Options) *Log {
	tb.Helper()
	l, err := Open(dir, opts)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func closeLog(tb testing.TB, l *Log) {
	tb.Helper()
	if err := l.Close(); err != nil {
		tb.Fatal(err)
	}
}

func BenchmarkAppend(b *testing.B) {
	l := openLog(b, b.TempDir(), Options{})
	defer closeLog(b, l)
	rec := sample()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Append(rec); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(l.Stats().Bytes / int64(l.Stats().Appended))
}

// BenchmarkAppendEncoded appends what was encoded before, as repeated
// statements of a session are.
func BenchmarkAppendEncoded(b *testing.B) {
	l := openLog(b, b.TempDir(), Options{})
	defer closeLog(b, l)
	rec := sample()
	rec.Caller, rec.Statement = rec.EncodeCaller(), rec.EncodeStatement()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Append(rec); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendParallel(b *testing.B) {
	l := openLog(b, b.TempDir(), Options{})
	defer closeLog(b, l)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		rec := sample()
		for pb.Next() {
			if _, err := l.Append(rec); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkSync64 is 64 sessions that each append a record and wait for it.
func BenchmarkSync64(b *testing.B) {
	l := openLog(b, b.TempDir(), Options{})
	defer closeLog(b, l)
	b.SetParallelism(64 / 2)
	b.RunParallel(func(pb *testing.PB) {
		rec := sample()
		for pb.Next() {
			seq, err := l.Append(rec)
			if err == nil {
				err = l.Sync(context.Background(), seq)
			}
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(l.Stats().Syncs)/float64(b.N), "syncs/op")
}

func BenchmarkVerify(b *testing.B) {
	dir := b.TempDir()
	l := openLog(b, dir, Options{})
	for range 50_000 {
		if _, err := l.Append(sample()); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(l.Stats().Bytes)
	closeLog(b, l)
	for b.Loop() {
		if rep, err := Verify(dir); err != nil || rep.Head.Count != 50_000 {
			b.Fatal(rep, err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	dir := b.TempDir()
	l := openLog(b, dir, Options{})
	for range 20_000 {
		if _, err := l.Append(sample()); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(l.Stats().Bytes)
	closeLog(b, l)
	for b.Loop() {
		for _, err := range Read(dir, 0) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}
