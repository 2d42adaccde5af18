package sidedoor

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pgveil/pgveil/state"
)

var began = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestAllow(t *testing.T) {
	all := Names{All: true}
	backup := Allow{Users: Names{Of: []string{"backup"}}, Databases: all, Apps: all, Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}}
	replica := Allow{Users: all, Databases: Names{Of: []string{"replication"}}, Apps: all, Anywhere: true}
	local := Allow{Users: all, Databases: all, Apps: Names{Of: []string{"psql"}}, Unix: true}
	for _, tt := range []struct {
		name  string
		allow Allow
		door  state.Door
		want  bool
	}{
		{"the zero Allow", Allow{}, state.Door{}, false},
		{"who and from where", backup, state.Door{Login: "backup", Addr: "10.0.0.9"}, true},
		{"IPv4 within IPv6", backup, state.Door{Login: "backup", Addr: "::ffff:10.0.0.9"}, true},
		{"from elsewhere", backup, state.Door{Login: "backup", Addr: "10.0.1.9"}, false},
		{"from the machine", backup, state.Door{Login: "backup", Addr: "unix"}, false},
		{"another", backup, state.Door{Login: "mallory", Addr: "10.0.0.9"}, false},
		{"who would be everybody", backup, state.Door{Login: "all", Addr: "10.0.0.9"}, false},
		{"physical replication", replica, state.Door{Login: "repl", Kind: "walsender", Addr: "192.0.2.1"}, true},
		{"logical replication", replica, state.Door{Login: "repl", Kind: "walsender", Database: "shop", Addr: "192.0.2.1"}, false},
		{"no replication", replica, state.Door{Login: "repl", Kind: "client backend", Addr: "192.0.2.1"}, false},
		{"by the socket", local, state.Door{Login: "x", App: "psql", Addr: "unix"}, true},
		{"another program", local, state.Door{Login: "x", App: "dump", Addr: "unix"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.allow.Fits(tt.door); got != tt.want {
				t.Errorf("Fits(%+v) = %t, want %t", tt.door, got, tt.want)
			}
		})
	}
}

// TestUnclaimed has a claim hold for the connection that it is of, and for none
// that has its number later.
func TestUnclaimed(t *testing.T) {
	proxies := []state.Proxy{{}, {Backends: []state.Backend{{PID: 7, From: began, Until: began.Add(time.Second)}}}}
	for _, tt := range []struct {
		name string
		door state.Door
		want int
	}{
		{"its own", state.Door{PID: 7, Began: began.Add(500 * time.Millisecond)}, 0},
		{"clocks differ", state.Door{PID: 7, Began: began.Add(-time.Second)}, 0},
		{"the number again", state.Door{PID: 7, Began: began.Add(time.Minute)}, 1},
		{"the number before", state.Door{PID: 7, Began: began.Add(-time.Minute)}, 1},
		{"another number", state.Door{PID: 8, Began: began}, 1},
	} {
		if unclaimed, open := Unclaimed([]state.Door{tt.door}, proxies, nil); len(unclaimed) != tt.want || len(open) != tt.want {
			t.Errorf("%s: unclaimed %v, open %v, want %d", tt.name, unclaimed, open, tt.want)
		}
	}
}

// TestHeard has a connection judged once all who serve have reported since.
func TestHeard(t *testing.T) {
	since := began
	for _, tt := range []struct {
		name  string
		age   time.Duration // of the other's report, 10 seconds later
		every time.Duration
		want  bool
	}{
		{"just now", 0, time.Second, true},
		{"before", 11 * time.Second, 5 * time.Second, false},
		{"too soon after", 9500 * time.Millisecond, 5 * time.Second, false},
		{"from one that is gone", 11 * time.Second, time.Second, true},
		{"from a run of a verb", 11 * time.Second, 0, true},
	} {
		proxies := []state.Proxy{{ID: "self", Every: time.Second}, {ID: "other", Every: tt.every, Age: tt.age}}
		if got := heard(proxies, "self", since, since.Add(10*time.Second)); got != tt.want {
			t.Errorf("a report %s: heard = %t, want %t", tt.name, got, tt.want)
		}
	}
}

// TestTally counts sessions that nobody made or saw, and no others, where the
// server counts them late and processes come and go.
func TestTally(t *testing.T) {
	serving := func(logins ...int64) (all []state.Proxy) {
		for i, n := range logins {
			all = append(all, state.Proxy{ID: string(rune('a' + i)), Every: time.Second, Logins: n})
		}
		return all
	}
	psql := map[door]bool{{pid: 1, is: state.Door{Kind: "client backend"}}: true}
	reset := began.Add(time.Hour)
	for _, tt := range []struct {
		name  string
		looks []Activity
		made  [][]state.Proxy
		seen  []map[door]bool
		want  int64
	}{
		{"none", []Activity{{Sessions: 100}, {Sessions: 100}, {Sessions: 100}, {Sessions: 100}}, [][]state.Proxy{serving(5)}, nil, 0},
		{"pgveil's", []Activity{{Sessions: 100}, {Sessions: 103}, {Sessions: 103}, {Sessions: 103}}, [][]state.Proxy{serving(5), serving(8)}, nil, 0},
		{"counted late", []Activity{{Sessions: 100}, {Sessions: 100}, {Sessions: 103}, {Sessions: 103}, {Sessions: 103}}, [][]state.Proxy{serving(5), serving(8)}, nil, 0},
		{"reported late", []Activity{{Sessions: 100}, {Sessions: 103}, {Sessions: 103}, {Sessions: 103}}, [][]state.Proxy{serving(5), serving(5), serving(8)}, nil, 0},
		{"unseen", []Activity{{Sessions: 100}, {Sessions: 105}, {Sessions: 105}, {Sessions: 105}}, [][]state.Proxy{serving(5), serving(8)}, nil, 2},
		{"one of them seen", []Activity{{Sessions: 100}, {Sessions: 105}, {Sessions: 105}, {Sessions: 105}}, [][]state.Proxy{serving(5), serving(8)}, []map[door]bool{nil, psql}, 1},
		{"seen before", []Activity{{Sessions: 100}, {Sessions: 101}, {Sessions: 101}, {Sessions: 101}}, [][]state.Proxy{serving(5)}, []map[door]bool{psql}, 1},
		{"another process comes", []Activity{{Sessions: 100}, {Sessions: 105}, {Sessions: 105}, {Sessions: 105}, {Sessions: 105}}, [][]state.Proxy{serving(5), serving(5, 5)}, nil, 0},
		{"the server counts anew", []Activity{{Sessions: 100}, {Sessions: 3, Reset: reset}, {Sessions: 3, Reset: reset}, {Sessions: 3, Reset: reset}, {Sessions: 3, Reset: reset}}, [][]state.Proxy{serving(5)}, nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c tally
			for i, a := range tt.looks {
				var seen map[door]bool
				if len(tt.seen) > 0 {
					seen = tt.seen[min(i, len(tt.seen)-1)]
				}
				c.count(a, tt.made[min(i, len(tt.made)-1)], seen)
			}
			if c.missed != tt.want {
				t.Errorf("missed = %d, want %d", c.missed, tt.want)
			}
		})
	}
}
