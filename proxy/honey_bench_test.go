package proxy

import (
	"strconv"
	"testing"

	"github.com/pgveil/pgveil/state"
)

// BenchmarkTrap notes a subject that is no planted record, with none planted and
// with a hundred.
func BenchmarkTrap(b *testing.B) {
	for _, planted := range []int{0, 100} {
		b.Run(strconv.Itoa(planted), func(b *testing.B) {
			srv := &Server{}
			var all []state.Honey
			for i := range planted {
				all = append(all, state.Honey{Kind: "customer", Key: strconv.Itoa(i)})
			}
			srv.setHoney(all)
			s := &session{srv: srv}
			trap, key := s.newTrap(), []byte("123456")
			b.ReportAllocs()
			for b.Loop() {
				trap.look("customer", key)
			}
		})
	}
}
