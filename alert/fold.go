package alert

import (
	"strings"
	"time"
)

// apart is how many alerts of one name are told apart within a window. Whatever
// else there is of it is one alert: who comes from thousands of addresses is not
// worth a message for each.
const apart = 20

// what is what alike events share. Sessions are not in it, nor what clients say
// of themselves: to connect anew is no other event.
type what struct {
	name             string
	severity         Severity
	login, user, key string
	addr             string // without the port
	others           bool   // those of the name that are not told apart; then who is empty
}

func whatOf(e *Event) what {
	return what{name: e.Name, severity: e.Severity, login: e.Login, user: e.User, key: e.Key, addr: host(e.Addr)}
}

// host is an address without its port.
func host(addr string) string {
	i := strings.LastIndexByte(addr, ':')
	if i > 0 && (addr[i-1] == ']' || strings.IndexByte(addr, ':') == i) {
		return addr[:i]
	}
	return addr
}

// fold is what has come of one kind since something of it was sent.
type fold struct {
	what
	ends  time.Time // when it is told
	count int       // events that were not
	since time.Time // when the first of these was
	last  Event     // of them, with what they have in common
}

func (f *fold) add(e Event) {
	if f.count++; f.count == 1 {
		f.last, f.since = e, e.Time
		return
	}
	same := func(to *string, was string) {
		if *to != was {
			*to = ""
		}
	}
	was := f.last
	f.last = e
	same(&f.last.Login, was.Login)
	same(&f.last.User, was.User)
	same(&f.last.Session, was.Session)
	same(&f.last.App, was.App)
	if host(e.Addr) != host(was.Addr) {
		f.last.Addr = ""
	}
	if f.others {
		f.last.Details = nil // one's only
	}
}

// sum gives what is to be told, and begins anew.
func (f *fold) sum() Alert {
	a := Alert{Event: f.last, Count: f.count, Since: f.since}
	f.last, f.count = Event{}, 0
	return a
}
