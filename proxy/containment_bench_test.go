package proxy_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/pgveil/pgveil/proxy"
)

// BenchmarkContained is what each statement pays for containment: with nobody
// contained, and with many others who are.
func BenchmarkContained(b *testing.B) {
	from := netip.MustParseAddr("192.0.2.7")
	for _, n := range []int{0, 1000} {
		b.Run(fmt.Sprintf("others=%d", n), func(b *testing.B) {
			c := proxy.NewContained()
			for i := range n {
				c.Contain(fmt.Sprintf("user%d", i), netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), time.Hour)
			}
			b.ReportAllocs()
			for b.Loop() {
				if c.Concerns("alice", from) {
					b.Fatal("alice is contained")
				}
			}
		})
	}
}
