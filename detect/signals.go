package detect

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/policy"
)

// Statement takes note of a statement that has ended.
func (d *Detector) Statement(w *policy.Watch, s *Statement) (found []Finding) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.person(s.Who)
	p.works(&found, w, s)
	switch {
	case s.Refused || s.Code == "42501":
		p.series(&found, w, s.Who, policy.WatchRefusals, refusals, alert.Warning, "statements are refused in series, as to who tries what goes through")
		return found
	case tells(s.Code):
		p.series(&found, w, s.Who, policy.WatchErrors, errors, alert.Warning, "statements fail in series with errors that tell of values and names")
	}
	if s.Code != "" {
		return found
	}
	p.touches(&found, w, s)
	if s.Guess {
		p.guesses(&found, w, s)
	}
	if s.ByKey {
		p.reads(&found, w, s)
	}
	return found
}

// tells tells whether an error is one that says something of values or of names:
// of data (22), of syntax and names (42), of limits that are run into (54), of
// the server itself (XX).
func tells(code string) bool {
	return len(code) == 5 && (code[:2] == "22" || code[:2] == "42" || code[:2] == "54" || code[:2] == "XX")
}

func (p *person) series(found *[]Finding, w *policy.Watch, who Who, signal policy.Signal, which int, severity alert.Severity, message string) {
	t := &w[signal]
	if n := p.lately(which).add(who.At, t.Within); n > t.Most && p.watched(who, signal) {
		p.found(found, who, w, signal, t.Within, severity, fmt.Sprintf("%s: %d within %v", message, n, t.Within), slog.Int("count", n), slog.Duration("within", t.Within))
	}
}

func (p *person) lately(which int) *window {
	if p.hit[which] == nil {
		p.hit[which] = &window{}
	}
	return p.hit[which]
}

// guesses counts conditions on hidden values, and those that no row met: who
// knows a value mostly hits.
func (p *person) guesses(found *[]Finding, w *policy.Watch, s *Statement) {
	t := &w[policy.WatchGuesses]
	all := p.lately(guesses).add(s.At, t.Within)
	if s.Rows > 0 {
		return
	}
	missed := p.lately(misses).add(s.At, t.Within)
	if missed > t.Most && missed*10 >= all*7 && p.watched(s.Who, policy.WatchGuesses) {
		p.found(found, s.Who, w, policy.WatchGuesses, t.Within, alert.Warning,
			fmt.Sprintf("hidden values are guessed: %d of %d conditions on them within %v met nothing", missed, all, t.Within),
			slog.Int("missed", missed), slog.Int("guesses", all), slog.Duration("within", t.Within))
	}
}

// maxKinds bounds of how many kinds of subject the keys are looked at.
const maxKinds = 8

func (p *person) reads(found *[]Finding, w *policy.Watch, s *Statement) {
	t := &w[policy.WatchEnumeration]
	k := p.keys[s.Kind]
	if k == nil {
		if len(p.keys) == maxKinds {
			return
		}
		if p.keys == nil {
			p.keys = map[string]*keys{}
		}
		k = &keys{}
		p.keys[s.Kind] = k
	}
	counted, step := k.add(s.Key, s.At, t.Within, t.Most)
	if counted == 0 || !p.watched(s.Who, policy.WatchEnumeration) {
		return
	}
	how := "that lie side by side"
	if step > 0 {
		how = fmt.Sprintf("that follow on each other by steps of %d", step)
	}
	p.found(found, s.Who, w, policy.WatchEnumeration, t.Within, alert.Critical,
		fmt.Sprintf("rows of subjects of kind %s are read one by one by keys %s: %d within %v", s.Kind, how, counted, t.Within),
		slog.String("kind", s.Kind), slog.Int("keys", counted), slog.Duration("within", t.Within))
}

// touches notes the tables of a statement. Most are those of the one before.
func (p *person) touches(found *[]Finding, w *policy.Watch, s *Statement) {
	if len(s.Tables) == 0 || len(p.last) == len(s.Tables) && &p.last[0] == &s.Tables[0] {
		return
	}
	p.last = s.Tables
	names := s.Tables
	if !p.learned {
		for _, name := range names {
			put(&p.early, name)
		}
		return
	}
	for name := range p.early {
		names = append(slices.Clip(names), name)
	}
	p.early = nil
	var first []string
	for _, name := range names {
		if put(&p.tables, name) {
			first = append(first, name)
		}
	}
	if len(first) == 0 {
		return
	}
	slices.Sort(first)
	p.fresh.Tables, p.changed = append(p.fresh.Tables, first...), true
	if days := len(p.past); days >= w[policy.WatchNewTables].After && p.watched(s.Who, policy.WatchNewTables) {
		p.found(found, s.Who, w, policy.WatchNewTables, 0, alert.Notice,
			fmt.Sprintf("%s used for the first time, after %d days of work without", strings.Join(first, ", "), days),
			slog.Any("tables", first), slog.Int("days", days))
	}
}

// works notes the hour at which somebody works.
func (p *person) works(found *[]Finding, w *policy.Watch, s *Statement) {
	bit := uint32(1) << p.hour
	if p.hours&bit == 0 {
		p.hours |= bit
		p.changed = true
	}
	if days := len(p.past); p.learned && p.always&bit == 0 && days >= w[policy.WatchHours].After && p.watched(s.Who, policy.WatchHours) {
		p.found(found, s.Who, w, policy.WatchHours, 12*time.Hour, alert.Warning,
			fmt.Sprintf("at work at %s, for the first time in %d days", s.At.Format("15:04"), days), slog.Int("hour", p.hour), slog.Int("days", days))
	}
}

// Met takes note of subjects whose rows somebody got, by their hashes.
func (d *Detector) Met(w *policy.Watch, who Who, hashes []uint64) (found []Finding) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.person(who)
	if p.met == nil {
		p.met = newSketch()
	}
	if p.met1h == nil {
		p.met1h = newSketch()
	}
	for _, h := range hashes {
		p.met.add(h)
		p.met1h.add(h)
	}
	p.peak, p.changed = max(p.peak, p.met1h.n), true
	t := &w[policy.WatchVolume]
	if p.met.n <= t.Most && p.met1h.n <= t.Most/2 || !p.learned || !p.watched(who, policy.WatchVolume) {
		return nil
	}
	switch {
	case p.usual.days < t.After:
		p.newcomer(&found, w, who, d.usual)
	case p.met.n > max(t.Most, p.usual.limit(t.Times)):
		p.tooMany(&found, w, who, "today", p.met.n, p.usual)
	case p.met1h.n > max(t.Most/2, p.rush.limit(t.Times)):
		p.tooMany(&found, w, who, "within the hour", p.met1h.n, p.rush)
	}
	return found
}

func (p *person) tooMany(found *[]Finding, w *policy.Watch, who Who, when string, n int, usual spread) {
	p.found(found, who, w, policy.WatchVolume, 12*time.Hour, alert.Critical,
		fmt.Sprintf("about %s subjects %s; median of %d days %s, MAD %s", thousands(n), when, usual.days, thousands(usual.median), thousands(usual.mad)),
		slog.Int("subjects", n), slog.Int("median", usual.median), slog.Int("mad", usual.mad), slog.Int("days", usual.days))
}

// newcomer compares who has too short a history with those who read the most.
func (p *person) newcomer(found *[]Finding, w *policy.Watch, who Who, usual int) {
	if n := p.met.n; usual > 0 && n > max(w[policy.WatchVolume].Most, 3*usual) {
		p.found(found, who, w, policy.WatchVolume, 12*time.Hour, alert.Critical,
			fmt.Sprintf("about %s subjects today, by somebody with %d days of history; nobody's usual day has more than %s", thousands(n), p.usual.days, thousands(usual)),
			slog.Int("subjects", n), slog.Int("usual", usual), slog.Int("days", p.usual.days))
	}
}

// thousands writes a number with a comma behind thousands.
func thousands(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// Login takes note of a login that was let in.
func (d *Detector) Login(w *policy.Watch, l *Login) (found []Finding) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.person(l.Who)
	net := network(l.Addr)
	fresh := put(&p.networks, net)
	if fresh {
		p.fresh.Networks, p.changed = append(p.fresh.Networks, net), true
	}
	if l.Acts {
		if days := len(p.past); fresh && p.learned && days >= w[policy.WatchNewNetworks].After && p.watched(l.Who, policy.WatchNewNetworks) {
			p.found(&found, l.Who, w, policy.WatchNewNetworks, 0, alert.Warning,
				fmt.Sprintf("a login that acts for others comes from a network from which it never came in %d days", days),
				slog.String("network", net), slog.Int("days", days))
		}
		return found // its applications and networks are those of many
	}
	for i, place := range [2]struct {
		signal     policy.Signal
		name, what string
	}{{policy.WatchClients, net, "networks"}, {policy.WatchApplications, l.App, "applications"}} {
		t := &w[place.signal]
		if n := p.from[i].add(place.name, l.At, t.Within); n > t.Most && p.watched(l.Who, place.signal) {
			p.found(&found, l.Who, w, place.signal, t.Within, alert.Warning,
				fmt.Sprintf("one user comes from %d %s within %v", n, place.what, t.Within), slog.Int("count", n), slog.Duration("within", t.Within))
		}
	}
	return found
}

// Injected takes note of a statement with signs of an injection.
func (d *Detector) Injected(w *policy.Watch, who Who, signs []string) (found []Finding) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.person(who); p.watched(who, policy.WatchInjections) {
		names := strings.Join(slices.Sorted(slices.Values(signs)), ", ")
		p.found(&found, who, w, policy.WatchInjections, time.Minute, alert.Critical, "a statement looks as if somebody's input had changed it: "+names, slog.String("signs", names))
	}
	return found
}
