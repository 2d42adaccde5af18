package audit

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
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
func BenchmarkSync64(b *testing.B) { benchmarkSync64(b, Options{}) }

func benchmarkSync64(b *testing.B, opts Options) {
	l := openLog(b, b.TempDir(), opts)
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

// signedBench are the options of a log that signs once a second, ten times as
// often as it does by itself.
func signedBench(b *testing.B) Options {
	k := newKey(b)
	return Options{Key: &k, CheckpointEvery: time.Second}
}

// BenchmarkAppendSigned is BenchmarkAppend with the tree and its signatures made
// behind it.
func BenchmarkAppendSigned(b *testing.B) {
	l := openLog(b, b.TempDir(), signedBench(b))
	defer closeLog(b, l)
	rec := sample()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Append(rec); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
}

// BenchmarkSync64Signed is BenchmarkSync64 in such a log.
func BenchmarkSync64Signed(b *testing.B) { benchmarkSync64(b, signedBench(b)) }

// TestTenMillion appends 10,000,000 records to a signed log, closes it, opens it
// again, verifies it and proves records of it, and says how long each took. It
// takes 7 GB of disk, and PGVEIL_AUDIT_TEN_MILLION to say that it may.
func TestTenMillion(t *testing.T) {
	if testing.Short() || os.Getenv("PGVEIL_AUDIT_TEN_MILLION") == "" {
		t.Skip("PGVEIL_AUDIT_TEN_MILLION is not set")
	}
	const n = 10_000_000
	k, dir := newKey(t), t.TempDir()
	start := time.Now()
	lap := func(what string) {
		took := time.Since(start)
		t.Logf("%-32s %9.3f s  %12.0f records/s", what, took.Seconds(), n/took.Seconds())
		start = time.Now()
	}
	l := openLog(t, dir, Options{Key: &k})
	rec := sample()
	rec.Caller, rec.Statement = rec.EncodeCaller(), rec.EncodeStatement()
	for range n - 1 {
		if _, err := l.Append(rec); err != nil {
			t.Fatal(err)
		}
	}
	lap("append")
	closeLog(t, l)
	lap("close: what is left of the tree")
	l = openLog(t, dir, Options{Key: &k})
	lap("open")
	closeLog(t, l)
	start = time.Now()
	rep, err := Check{Keys: publics(k)}.Verify(dir)
	if err != nil || rep.Head.Count < n || rep.Signed < n {
		t.Fatalf("Verify = %+v, %v", rep, err)
	}
	lap(fmt.Sprintf("verify %.1f GB, %d checkpoints", float64(rep.Bytes)/1e9, rep.Checkpoints))
	for _, seq := range []uint64{1, n / 2, n - 1} {
		start = time.Now()
		p, err := Prove(dir, seq)
		proved := time.Since(start)
		if err == nil {
			_, err = CheckProof(p.Marshal(), publics(k))
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("prove record %-8d %8.1f ms; check %.2f ms; %d bytes", seq, proved.Seconds()*1e3, (time.Since(start)-proved).Seconds()*1e3, len(p.Marshal()))
	}
	if err := os.Remove(filepath.Join(dir, hashesName)); err != nil {
		t.Fatal(err)
	}
	start = time.Now()
	if _, err := Prove(dir, n/2); err != nil {
		t.Fatal(err)
	}
	lap("prove without stored hashes")
}
