package proxy_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/proxy/guard"
)

// BenchmarkLogin logs in by SCRAM and leaves, by one method for all, and under
// fifty rules of which the last decides, with a guard that remembers thousands.
func BenchmarkLogin(b *testing.B) {
	database := pgtest.Database(b, "shop")
	g, err := guard.New(guard.Options{
		Pair: guard.Limit{Failures: 5, Every: time.Minute}, Address: guard.Limit{Failures: 30, Every: time.Minute}, Network: guard.Limit{Failures: 100, Every: time.Minute},
		Login: guard.Limit{Failures: 10, Every: time.Minute}, Slow: time.Second, IPv4: 24, IPv6: 64, Known: time.Hour, Entries: 20_000,
	})
	if err != nil {
		b.Fatal(err)
	}
	for i := range 20_000 {
		g.Failed(guard.Attempt{Login: fmt.Sprint("user", i)}, guard.Shown{})
	}
	var rules []proxy.Rule
	for i := range 50 {
		r := proxy.Rule{Networks: from(fmt.Sprintf("10.%d.0.0/16", i), "127.0.0.0/8"), Users: proxy.Names{Of: []string{fmt.Sprint("user", i)}}, Databases: proxy.Names{All: true}, ClearToo: true, Method: proxy.SCRAM}
		if i == 49 {
			r.Users.All = true
		}
		rules = append(rules, r)
	}
	for _, bb := range []struct {
		name string
		edit func(*proxy.Options)
	}{
		{"without", func(*proxy.Options) {}},
		{"with", func(o *proxy.Options) { o.Guard, o.Rules, o.MaxPerAddress = g, rules, 100 }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			f := start(b, database, shopPolicy, scram(b), overTCP(b), bb.edit)
			c := f.config(b, database, "alice")
			c.Password = "alice-password"
			b.ResetTimer()
			for range b.N {
				conn, err := pgx.ConnectConfig(b.Context(), c)
				if err != nil {
					b.Fatal(err)
				}
				if err := conn.Close(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
