package proxy

import (
	"crypto/rand"
	"encoding/binary"
	"slices"
	"time"
)

// Target says which of an Upstream's hosts a session may be on, with the
// meaning of libpq's target_session_attrs. The zero Target is any.
type Target uint8

// The targets.
const (
	AnyServer Target = iota
	ReadWrite        // transactions may write, unless they say otherwise
	ReadOnly         // they may not
	Primary
	Standby
	PreferStandby // a standby, or else any
)

const (
	// shunned is how long a host that failed is tried after all others.
	shunned = 10 * time.Second
	// believed is how long it counts that a host speaks an old protocol: it may
	// be upgraded. That it speaks the newest, each login finds out anew.
	believed = time.Minute
)

// hostState is what is known of a host.
type hostState struct {
	failed time.Time // when it could last not be reached; zero: it can be, as far as is known
	minor  int       // of the newest protocol version that both know, as it last said
	said   time.Time // when it did; zero: never
}

// order gives the hosts in the order in which a login tries them: those that
// failed a moment ago come last, so that no login waits for a dead host while
// another is there, and a host that is back is found.
func (u *servers) order() []Host {
	hosts := slices.Clone(u.Hosts)
	if u.Shuffle {
		shuffle(hosts)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	rank := func(h Host) int {
		if f := u.known[h].failed; !f.IsZero() && time.Since(f) < shunned {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(hosts, func(a, b Host) int { return rank(a) - rank(b) })
	return hosts
}

func shuffle(hosts []Host) {
	for i := len(hosts) - 1; i > 0; i-- {
		var b [8]byte
		rand.Read(b[:]) // never fails
		j := int(binary.BigEndian.Uint64(b[:]) % uint64(i+1))
		hosts[i], hosts[j] = hosts[j], hosts[i]
	}
}

// failed remembers that a host could not be reached. What it was able to do is
// forgotten: another server may stand there when it is back.
func (u *servers) failed(h Host) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.known[h] = hostState{failed: time.Now()}
}

func (u *servers) answered(h Host) {
	u.mu.Lock()
	defer u.mu.Unlock()
	state := u.known[h]
	state.failed = time.Time{}
	u.known[h] = state
}

// speaks remembers the newest minor protocol version of a host.
func (u *servers) speaks(h Host, minor int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	state := u.known[h]
	state.minor, state.said = minor, time.Now()
	u.known[h] = state
}

// spoken gives it, if the host has said and is still believed.
func (u *servers) spoken(h Host) (minor int, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	state := u.known[h]
	return state.minor, !state.said.IsZero() && (state.minor == newestMinor || time.Since(state.said) < believed)
}

// passes gives the targets to look for, one after the other.
func (t Target) passes() []Target {
	if t == PreferStandby {
		return []Target{Standby, AnyServer}
	}
	return []Target{t}
}

// String gives the word for it in the configuration.
func (t Target) String() string {
	switch t {
	case AnyServer:
		return "any"
	case ReadWrite:
		return "read-write"
	case ReadOnly:
		return "read-only"
	case Primary:
		return "primary"
	case Standby:
		return "standby"
	case PreferStandby:
		return "prefer-standby"
	default:
		return "no target"
	}
}

// role is what a server says of itself at login.
type role struct {
	standby  string // in_hot_standby: on, off, or "" where the server does not report it
	readOnly string // default_transaction_read_only
}

// fits tells whether a session on a server of that role is what is looked for.
func (t Target) fits(r role) bool {
	writes := r.standby == "off" && r.readOnly == "off"
	switch t {
	case AnyServer, PreferStandby:
		return true
	case ReadWrite:
		return writes
	case ReadOnly:
		return !writes
	case Primary:
		return r.standby == "off"
	case Standby:
		return r.standby == "on"
	default:
		return false
	}
}
