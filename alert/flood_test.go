package alert

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// counted reads a counter; labels are values of labels that it must have.
func counted(t *testing.T, r *prometheus.Registry, name string, labels ...string) (sum int) {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	metrics:
		for _, m := range f.GetMetric() {
			for i, l := range labels {
				if m.GetLabel()[i].GetValue() != l {
					continue metrics
				}
			}
			sum += int(m.GetCounter().GetValue())
		}
	}
	return sum
}

// hangs is a sink that takes nothing and says nothing until it has to.
func hangs() *taker {
	return &taker{answer: func(ctx context.Context, _ *Alert) error { <-ctx.Done(); return ctx.Err() }}
}

// TestFlood raises more than anybody can take, from many at once, of names that
// are all told apart, while a sink hangs. Nobody waits, and what is kept is bounded.
func TestFlood(t *testing.T) {
	const raisers, each = 10, 10_000
	registry := prometheus.NewRegistry()
	c := New(Options{Log: quiet, Window: time.Hour, Metrics: registry})
	c.Replace([]Route{{Name: "hung", To: hangs(), Timeout: time.Hour}}, 0)
	before := inUse()
	begin := time.Now()
	var all sync.WaitGroup
	for r := range raisers {
		all.Go(func() {
			for i := range each {
				c.Raise(Event{
					Name: fmt.Sprintf("kind_%d", i%30), Severity: Notice + Severity(i%3), User: fmt.Sprintf("user %d of %d", i, r),
					Message: strings.Repeat("m", 10_000), Details: []slog.Attr{slog.String("long", strings.Repeat("x", 10_000))},
				})
			}
		})
	}
	all.Wait()
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("%d events took %s", raisers*each, took)
	}
	if grown := inUse() - before; grown > 30<<20 {
		t.Errorf("%d bytes more are in use", grown)
	}
	// 30 names have three severities' worth of alerts told apart, and one for the rest.
	if n := len(c.folds); n > 30*(apart+3) {
		t.Errorf("%d kinds are remembered", n)
	}
	if n := counted(t, registry, "pgveil_alerts_total"); n != raisers*each {
		t.Errorf("%d events are counted, want %d", n, raisers*each)
	}
	sent := 30*(apart+1) - queued - 1 // the one is on its way
	if n := counted(t, registry, "pgveil_alerts_dropped_total", "hung"); n < sent {
		t.Errorf("%d alerts are counted as dropped, want %d at least", n, sent)
	}
	if err := closed(t, c, 0); err == nil || !strings.Contains(err.Error(), "sink hung") {
		t.Errorf("Close = %v", err)
	}
}

func inUse() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapInuse)
}

// TestLogHangs has nobody read the log. Who raises events does not notice, nor does
// a sink that works, and the end comes in time.
func TestLogHangs(t *testing.T) {
	r, w := io.Pipe()
	defer r.Close() // what waits, ends
	good := &taker{}
	bad := &taker{answer: func(context.Context, *Alert) error { return errors.New("no") }}
	c := newCentre(t, slog.New(slog.NewTextHandler(w, nil)), Route{Name: "good", To: good}, Route{Name: "bad", To: bad})
	begin := time.Now()
	for i := range queued {
		c.Raise(Event{Name: fmt.Sprint("event", i), Severity: Critical})
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("to raise events took %s", took)
	}
	err := closed(t, c, 500*time.Millisecond)
	if took := time.Since(begin); err == nil || took > 10*time.Second {
		t.Errorf("Close = %v after %s", err, took)
	}
	if n := len(good.all()); n != queued {
		t.Errorf("the sink that works has %d alerts", n)
	}
}

// TestSevereFirst has no place left: what is severe pushes out what is not, and
// never the other way round.
func TestSevereFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := make(chan struct{})
		s := &taker{answer: func(context.Context, *Alert) error { <-open; return nil }}
		registry := prometheus.NewRegistry()
		c := New(Options{Log: quiet, Metrics: registry})
		c.Replace([]Route{{Name: "s", To: s, Timeout: time.Hour}}, time.Second)
		c.Raise(Event{Name: "first", Severity: Notice})
		synctest.Wait() // it is on its way
		for i := range queued {
			c.Raise(Event{Name: fmt.Sprint("critical", i), Severity: Critical})
		}
		c.Raise(Event{Name: "late_notice", Severity: Notice})
		c.Raise(Event{Name: "late_critical", Severity: Critical})
		close(open)
		synctest.Wait()
		want := "first ×1, alerts_lost ×1"
		for i := range queued {
			want += fmt.Sprintf(", critical%d ×1", i)
		}
		if got := s.said(); got != want {
			t.Errorf("sent %q", got)
		}
		if n := counted(t, registry, "pgveil_alerts_dropped_total", "s"); n != 2 {
			t.Errorf("%d are counted as dropped", n)
		}
		open = make(chan struct{})
		c.Raise(Event{Name: "again", Severity: Notice})
		synctest.Wait()
		for i := range queued {
			c.Raise(Event{Name: fmt.Sprint("notice", i), Severity: Notice})
		}
		c.Raise(Event{Name: "warning", Severity: Warning})
		c.Raise(Event{Name: "critical", Severity: Critical})
		close(open)
		synctest.Wait()
		if got := s.said(); !strings.HasPrefix(got, "again ×1, alerts_lost ×1, critical ×1, warning ×1, notice2 ×1") {
			t.Errorf("sent %q", got)
		}
		if err := closed(t, c, time.Second); err != nil {
			t.Error(err)
		}
	})
}

// TestClose ends while sinks hang, fail and work: in time, with what waits sent
// where that is possible, and with what was summed up.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, slow := &taker{}, &taker{answer: func(context.Context, *Alert) error { time.Sleep(time.Second); return nil }}
		dead := &taker{answer: func(context.Context, *Alert) error { return errors.New("no") }}
		c := newCentre(t, quiet, Route{Name: "good", To: good}, Route{Name: "slow", To: slow}, Route{Name: "dead", To: dead}, Route{Name: "hung", To: hangs(), Timeout: time.Hour})
		for range 3 {
			c.Raise(Event{Name: "a", Severity: Warning, User: "eve"})
		}
		c.Raise(Event{Name: "b", Severity: Warning, User: "bob"})
		synctest.Wait()
		begin := time.Now()
		err := closed(t, c, 5*time.Second)
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("it took %s", took)
		}
		const want = "a eve×1, b bob×1, a eve×2"
		if g, s := good.said(), slow.said(); g != want || s != want {
			t.Errorf("good has %q and slow %q, want %q", g, s, want)
		}
		if err == nil || strings.Contains(err.Error(), "good") || strings.Contains(err.Error(), "slow") ||
			!strings.Contains(err.Error(), "sink dead: 3 alerts were not delivered") || !strings.Contains(err.Error(), "sink hung: 3 alerts were not delivered") {
			t.Errorf("Close = %v", err)
		}
		c.Raise(Event{Name: "after", Severity: Critical}) // goes nowhere, and harms nobody
		if err := closed(t, c, time.Second); err != nil {
			t.Error(err)
		}
	})
}

// TestReplace sends what waits to the old routes, and what comes to the new.
func TestReplace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := &taker{answer: func(context.Context, *Alert) error { time.Sleep(time.Second); return nil }}
		after := &taker{}
		c := newCentre(t, quiet, Route{Name: "s", To: before})
		for i := range 3 {
			c.Raise(Event{Name: fmt.Sprint("old", i), Severity: Warning})
		}
		c.Replace([]Route{{Name: "s", To: after, Timeout: time.Second}}, 10*time.Second)
		c.Raise(Event{Name: "new", Severity: Warning})
		if err := closed(t, c, time.Minute); err != nil {
			t.Error(err)
		}
		if b, a := before.said(), after.said(); b != "old0 ×1, old1 ×1, old2 ×1" || a != "new ×1" {
			t.Errorf("before has %q, after %q", b, a)
		}
	})
}

// What an event costs its caller: where it is summed up, as are all but the first
// of many, and where it is an alert for the log and two sinks more.
func BenchmarkRaise(b *testing.B) {
	event := Event{Name: "limit_reached", Severity: Warning, Message: "a limit was reached", Login: "app", User: "eve", Addr: "10.0.0.1:5432", Details: []slog.Attr{slog.Int("rows", 500)}}
	c := New(Options{Log: quiet, Window: time.Hour})
	c.Replace([]Route{{Name: "a", To: Logger{quiet}}, {Name: "b", To: Logger{quiet}}}, 0)
	b.Run("summed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.Raise(event)
		}
	})
	b.Run("sent", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			clear(c.folds)
			clear(c.apart)
			c.order = c.order[:0]
			c.Raise(event)
		}
	})
	_ = c.Close(context.Background()) // most is dropped: that is not what is measured
}
