package ship

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgveil/pgveil/audit"
)

// BenchmarkFormat makes the bodies of a statement and its outcome.
func BenchmarkFormat(b *testing.B) {
	list := samples()
	for name, format := range Formats() {
		b.Run(name, func(b *testing.B) {
			for i := range b.N {
				e := &list[2*(i%2)]
				if err := e.fill(format, 0); err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(e.Body)))
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// nowhere takes everything.
type nowhere struct{}

func (nowhere) Send(context.Context, []Event) ([]Event, error) { return nil, nil }
func (nowhere) Limit() int                                     { return 0 }
func (nowhere) Close() error                                   { return nil }

// BenchmarkShip ships a log of statements with their outcomes, all of it: what
// is read from the segments, formatted, and written to a file that is synced, or
// thrown away.
func BenchmarkShip(b *testing.B) {
	dir := b.TempDir()
	log, err := audit.Open(dir, audit.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	list := samples()
	for i := range 50_000 {
		r := list[2*(i%2)].Record
		if r.Kind == audit.KindOutcome {
			r.Ref = uint64(i - 1)
		}
		if _, err := log.Append(&r); err != nil {
			b.Fatal(err)
		}
	}
	for name, format := range Formats() {
		for to, target := range map[string]Target{"nowhere": nowhere{}, "file": &File{Path: filepath.Join(b.TempDir(), "out")}} {
			b.Run(name+"/"+to, func(b *testing.B) {
				m := memory{dir: dir, said: &logged{}}
				o, from := m.options(), uint64(0)
				o.From = &from
				before := cpu(b)
				for range b.N {
					sink := sinkTo("bench", target)
					sink.Format, sink.Batch = format, 500
					s, err := Start([]Sink{sink}, o)
					if err == nil {
						err = s.Close(context.Background())
					}
					if err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(50_000*b.N)/b.Elapsed().Seconds(), "events/s")
				b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(50_000*b.N), "cpu-ns/event")
			})
		}
	}
}

// cpu is how much time this process has had of processors: what an event costs,
// whoever else is on the machine.
func cpu(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
