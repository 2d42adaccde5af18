package shred

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/seal"
)

var keysFlag = flag.Int("keys", 20_000, "number of data keys that BenchmarkStore has")

// BenchmarkStore fills a store with keys, and a column with as many values that name
// them, and then does once what is done with a store of that size:
//
//	go test ./shred -run - -bench Store -benchtime 1x -keys 10000000 -timeout 60m
func BenchmarkStore(b *testing.B) {
	s := newScene(b)
	n := *keysFlag
	var all []seal.DataKeyID
	begun := time.Now()
	for len(all) < n {
		keys, err := s.Store.Make(b.Context(), s.ring, "birth", min(maxMade, n-len(all)))
		if err != nil {
			b.Fatal(err)
		}
		for _, k := range keys {
			all = append(all, k.ID)
		}
	}
	b.ReportMetric(float64(n)/time.Since(begun).Seconds(), "made/s")
	conn := pgtest.Connect(b, s.Store.pool.Config().ConnString())
	var size int64
	if err := conn.QueryRow(b.Context(), "SELECT pg_total_relation_size('pgveil.data_keys')").Scan(&size); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(size)/float64(n), "B/key")
	pick := func(k int) []seal.DataKeyID {
		ids := make([]seal.DataKeyID, k)
		for i := range ids {
			ids[i] = all[rand.IntN(n)]
		}
		return ids
	}
	each := func(unit string, k, times int, do func([]seal.DataKeyID) error) {
		begun := time.Now()
		for range times {
			if err := do(pick(k)); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(time.Since(begun).Microseconds())/float64(k*times), unit)
	}
	fetch := func(ids []seal.DataKeyID) error {
		return s.Store.Fetch(b.Context(), s.ring, ids, func(seal.DataKey) {})
	}
	each("µs/key-fetched-alone", 1, 2000, fetch)
	each("µs/key-fetched-by-500", 500, 40, fetch)
	each("µs/key-destroyed-by-10", 10, 100, func(ids []seal.DataKeyID) error { _, err := s.Destroy(b.Context(), ids); return err })

	db, c, with := s.governed(b)
	// The values are alike but for the key's id: what is read of them is no more.
	k := s.take(b)
	sealed, err := with.SealUnder(nil, []byte("1980-01-01"), &k)
	if err != nil {
		b.Fatal(err)
	}
	exec(b, db, `CREATE EXTENSION IF NOT EXISTS dblink`)
	exec(b, db, `INSERT INTO customers SELECT i, 'pgv1.' || translate(rtrim(encode('\x0103'::bytea || int8send(id) || '\x0000'::bytea, 'base64'), '='), '+/', '-_') || substr($2, 22)
		FROM dblink($1, 'SELECT row_number() OVER (), id FROM pgveil.data_keys') AS d (i bigint, id bigint)`, s.Store.pool.Config().ConnString(), string(sealed))
	exec(b, conn, "UPDATE pgveil.data_keys SET made = made - interval '2 hours' WHERE id % 100 = 0") // a hundredth is old enough to go
	exec(b, db, "DELETE FROM customers WHERE id % 1000 = 0")
	begun = time.Now()
	r, err := s.Reap(b.Context(), db, []*policy.Sealed{c}, true, false)
	if err != nil || r.Live < int64(n)/2 {
		b.Fatalf("%+v, %v", r, err)
	}
	b.ReportMetric(time.Since(begun).Seconds(), "s/reap")
}
