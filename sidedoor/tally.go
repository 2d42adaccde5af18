package sidedoor

import (
	"maps"
	"slices"
	"time"

	"github.com/pgveil/pgveil/state"
)

// tally compares how many sessions the server has counted with how many there
// were for a reason: those that processes of pgveil made, and those that were
// seen. What the server counts comes late, up to some seconds, so what it had
// counted at one look is compared with what is known two looks later: a difference
// then is no delay.
type tally struct {
	ids    []string         // of the processes that are there
	reset  time.Time        // the server's own count began then
	looks  int              // since this count began
	server [3]int64         // what the server had counted at the last three looks, the oldest first
	first  int64            // what it had counted when this count began
	made   int64            // what processes had made then
	logins map[string]int64 // of each process, also of one that is gone
	others int64            // sessions of others, since then
	there  map[door]bool

	before int64 // missed before this count began
	missed int64
	told   int64
	toldAt time.Time
}

// count takes what one look found. others are the connections that are nobody's
// of pgveil.
func (t *tally) count(a Activity, proxies []state.Proxy, others map[door]bool) {
	ids := []string{}
	for _, p := range proxies {
		if p.Alive() {
			ids = append(ids, p.ID)
		}
	}
	slices.Sort(ids)
	begins := t.ids == nil || !slices.Equal(ids, t.ids) || !a.Reset.Equal(t.reset)
	made := t.sum(proxies, begins)
	if begins {
		// Of a process that came or went nobody knows how often it has logged in.
		t.ids, t.reset, t.looks, t.before = ids, a.Reset, 0, t.missed
		t.first, t.made, t.others, t.there = a.Sessions, made, 0, maps.Clone(others)
		return
	}
	for d := range others {
		if !t.there[d] && d.is.Kind == "client backend" {
			t.others++
		}
	}
	t.there = maps.Clone(others)
	t.server = [3]int64{t.server[1], t.server[2], a.Sessions}
	if t.looks++; t.looks >= len(t.server) {
		t.missed = max(t.missed, t.before+t.server[0]-t.first-(made-t.made)-t.others)
	}
}

// sum gives how often processes have logged in, those that are gone included,
// unless the count begins anew.
func (t *tally) sum(proxies []state.Proxy, begins bool) (made int64) {
	if begins {
		t.logins = map[string]int64{}
	}
	for _, p := range proxies {
		t.logins[p.ID] = p.Logins
	}
	for _, n := range t.logins {
		made += n
	}
	return made
}
