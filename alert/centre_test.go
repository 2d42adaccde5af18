package alert

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// taker is a sink that says what it was sent, after whatever answer says.
type taker struct {
	answer func(ctx context.Context, a *Alert) error // nil: all is taken

	mu  sync.Mutex
	got []Alert
}

func (s *taker) Send(ctx context.Context, a *Alert) error {
	if s.answer != nil {
		if err := s.answer(ctx, a); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, *a)
	return nil
}

func (s *taker) Close() error { return nil }

// all gives what was taken.
func (s *taker) all() []Alert {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

// said sums up what was taken, and forgets it.
func (s *taker) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var words []string
	for _, a := range s.got {
		words = append(words, fmt.Sprintf("%s %s×%d", a.Name, a.User, a.Count))
	}
	s.got = nil
	return strings.Join(words, ", ")
}

func newCentre(t *testing.T, log *slog.Logger, routes ...Route) *Centre {
	t.Helper()
	c := New(Options{Log: log, Window: time.Minute, Host: "veil.example", Metrics: prometheus.NewRegistry()})
	for i := range routes {
		if routes[i].Timeout == 0 {
			routes[i].Timeout = 10 * time.Second
		}
	}
	c.Replace(routes, time.Second)
	return c
}

func closed(t *testing.T, c *Centre, within time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return c.Close(ctx)
}

var quiet = slog.New(slog.DiscardHandler)

// TestFolds raises events over time.
func TestFolds(t *testing.T) {
	type raised struct {
		after time.Duration // since the one before
		Event
	}
	at := func(after time.Duration, name, user string) raised {
		return raised{after, Event{Name: name, Severity: Warning, User: user, Session: after.String()}}
	}
	for _, tt := range []struct {
		name   string
		events []raised
		want   string // what is sent at once; what has been after the window; and after the next
	}{
		{"one", []raised{at(0, "a", "eve")}, "a eve×1||"},
		{"alike", []raised{at(0, "a", "eve"), at(1, "a", "eve"), at(2, "a", "eve")}, "a eve×1|a eve×2|"},
		{"of others", []raised{at(0, "a", "eve"), at(1, "a", "bob"), at(1, "b", "eve")}, "a eve×1, a bob×1, b eve×1||"},
		{"of another key", []raised{at(0, "a", "eve"), {0, Event{Name: "a", Severity: Warning, User: "eve", Key: "k"}}}, "a eve×1, a eve×1||"},
		{"more severe", []raised{at(0, "a", "eve"), {0, Event{Name: "a", Severity: Critical, User: "eve"}}}, "a eve×1, a eve×1||"},
		{"from another port", []raised{{0, Event{Name: "a", Severity: 1, Addr: "10.0.0.1:5"}}, {0, Event{Name: "a", Severity: 1, Addr: "10.0.0.1:6"}}}, "a ×1|a ×1|"},
		{"from another address", []raised{{0, Event{Name: "a", Severity: 1, Addr: "[::1]:5"}}, {0, Event{Name: "a", Severity: 1, Addr: "[::2]:5"}}}, "a ×1, a ×1||"},
		{"again in the next window", []raised{at(0, "a", "eve"), at(time.Second, "a", "eve"), at(time.Minute, "a", "eve")}, "a eve×1, a eve×1|a eve×1|"},
		{"again after a window", []raised{at(0, "a", "eve"), at(61*time.Second, "a", "eve")}, "a eve×1, a eve×1||"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &taker{}
				c := newCentre(t, quiet, Route{Name: "s", To: s})
				for _, e := range tt.events {
					time.Sleep(e.after)
					c.Raise(e.Event)
				}
				synctest.Wait()
				got := s.said()
				for range 2 {
					time.Sleep(time.Minute)
					synctest.Wait()
					got += "|" + s.said()
				}
				if got != tt.want {
					t.Errorf("sent %q, want %q", got, tt.want)
				}
				if err := closed(t, c, time.Second); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestSum says of many what they have in common.
func TestSum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &taker{}
		c := newCentre(t, quiet, Route{Name: "s", To: s})
		begin := time.Now()
		for i := range 3 {
			c.Raise(Event{
				Name: "a", Severity: Notice, Message: "m", Login: "app", User: "eve", Addr: fmt.Sprintf("10.0.0.1:%d", i), App: "psql",
				Session: fmt.Sprint(i), Details: []slog.Attr{slog.Int("n", i)},
			})
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		got := s.all()
		a := got[1]
		if a.Count != 2 || !a.Since.Equal(begin.Add(time.Second)) || !a.Time.Equal(begin.Add(2*time.Second)) || a.Session != "" ||
			a.Login != "app" || a.User != "eve" || a.App != "psql" || a.Addr != "10.0.0.1:2" || a.Details[0].Value.Int64() != 2 || a.Host != "veil.example" {
			t.Errorf("%+v", a)
		}
		if got[0].ID == a.ID {
			t.Errorf("two alerts have the id %s", a.ID)
		}
		if err := closed(t, c, time.Second); err != nil {
			t.Error(err)
		}
	})
}

// TestManyAddresses has one event from everywhere: some are told apart, the rest
// is one alert, of nobody.
func TestManyAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &taker{}
		c := newCentre(t, quiet, Route{Name: "s", To: s})
		for i := range 1000 {
			c.Raise(Event{Name: "a", Severity: Warning, User: "eve", Addr: fmt.Sprintf("10.0.%d.%d:1", i/256, i%256), Details: []slog.Attr{slog.Int("n", i)}})
		}
		c.Raise(Event{Name: "b", Severity: Warning})
		synctest.Wait()
		if n := len(s.all()); n != apart+2 {
			t.Errorf("%d alerts at once, want %d", n, apart+2)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		got := s.all()
		if sum := got[len(got)-1]; len(got) != apart+3 || sum.Count != 1000-apart-1 || sum.Addr != "" || sum.User != "eve" || len(sum.Details) > 0 {
			t.Errorf("%d alerts, the last %+v", len(got), sum)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if len(c.folds)+len(c.order)+len(c.apart) != 0 {
			t.Errorf("%d kinds are remembered", len(c.folds))
		}
		if err := closed(t, c, time.Second); err != nil {
			t.Error(err)
		}
	})
}

// TestLeast has each sink get what is severe enough, the most severe first of what
// came while it was busy.
func TestLeast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		busy := func(context.Context, *Alert) error { <-free; return nil }
		all, some := &taker{answer: busy}, &taker{answer: busy}
		var log bytes.Buffer
		c := newCentre(t, slog.New(slog.NewTextHandler(&log, nil)), Route{Name: "all", To: all}, Route{Name: "some", To: some, Least: Warning})
		c.Raise(Event{Name: "first", Severity: Warning})
		synctest.Wait() // both sinks have it

		for _, s := range []Severity{Notice, Warning, Critical, 0} { // who does not say, has it looked at now
			c.Raise(Event{Name: "e" + s.String(), Severity: s})
		}
		close(free)
		if err := closed(t, c, time.Second); err != nil {
			t.Error(err)
		}
		if got, want := all.said(), "first ×1, ecritical ×1, enone ×1, ewarning ×1, enotice ×1"; got != want {
			t.Errorf("all got %q, want %q", got, want)
		}
		if got, want := some.said(), "first ×1, ecritical ×1, enone ×1, ewarning ×1"; got != want {
			t.Errorf("some got %q, want %q", got, want)
		}
		for _, want := range []string{"level=INFO msg=\"\" alert=enotice severity=notice", "level=WARN msg=\"\" alert=ewarning", "level=ERROR msg=\"\" alert=ecritical"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log has no %q:\n%s", want, &log)
			}
		}
	})
}

// TestTriesAgain has a sink that fails for a while, for good, or refuses.
func TestTriesAgain(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fails int
		err   error
		want  string // what it takes
		tries int
		took  time.Duration
	}{
		{"twice", 2, errors.New("no"), "a ×1, b ×1", 4, 5 * time.Second},
		{"refused", 1, &Refused{"never"}, "alert_sink_failing ×1, alerts_lost ×1, b ×1", 4, 0},
		{"dead for one", tries, errors.New("no"), "b ×1, alerts_lost ×1, alert_sink_failing ×1", tries + 3, (1 + 4 + 16 + 30) * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				var last time.Time
				begin := time.Now()
				s := &taker{answer: func(context.Context, *Alert) error {
					last = time.Now()
					if n++; n <= tt.fails {
						return tt.err
					}
					return nil
				}}
				c := newCentre(t, quiet, Route{Name: "s", To: s})
				c.Raise(Event{Name: "a", Severity: Critical})
				time.Sleep(50 * time.Millisecond)
				c.Raise(Event{Name: "b", Severity: Warning})
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if took := last.Sub(begin).Truncate(time.Second); s.said() != tt.want || n != tt.tries || took != tt.took {
					t.Errorf("%d tries in %s, want %d in %s", n, took, tt.tries, tt.took)
				}
				if err := closed(t, c, time.Second); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
