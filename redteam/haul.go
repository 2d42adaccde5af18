package main

import (
	"bytes"
	"encoding/binary"
	"net"
	"sync"
)

// The forms of what identifies a customer. Each has one length, so that it is
// found wherever it stands.
const (
	keyFrom    = 700_000_000_000
	keyRange   = 200_000_000_000
	keyDigits  = 12
	codeLength = 12
	emailEnd   = "@example.org"
	phoneLead  = "+49 30 "
	codeLead   = "ref-"
	overlap    = 64 // longer than any of them
)

// haul is what one evasion got. It may be used by many goroutines.
type haul struct {
	crowd *crowd
	mu    sync.Mutex
	seen  map[int]bool
}

func newHaul(c *crowd) *haul { return &haul{crowd: c, seen: map[int]bool{}} }

// size tells how many customers it is.
func (h *haul) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.seen)
}

// look takes whatever identifies a customer out of some bytes.
func (h *haul) look(b []byte) {
	var found []int
	note := func(n int, known bool) {
		if known {
			found = append(found, n)
		}
	}
	h.keys(b, note)
	h.after(b, phoneLead, 8, note)
	h.after(b, codeLead, codeLength, note)
	for rest, at := b, 0; ; at++ {
		i := bytes.Index(rest[at:], []byte(emailEnd))
		if i < 0 {
			break
		}
		at += i
		if from := at - codeLength - 1; from >= 0 {
			n, known := h.crowd.values[string(rest[from:at+len(emailEnd)])]
			note(n, known)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range found {
		h.seen[n] = true
	}
}

// keys finds keys, as text and as the eight bytes of a bigint.
func (h *haul) keys(b []byte, note func(int, bool)) {
	digits := 0
	for i, c := range b {
		if digits++; c < '0' || c > '9' {
			digits = 0
		}
		if digits >= keyDigits {
			n, known := h.crowd.values[string(b[i+1-keyDigits:i+1])]
			note(n, known)
		}
		if i >= 7 && b[i-7] == 0 && b[i-6] == 0 && b[i-5] == 0 {
			n, known := h.crowd.keys[int64(binary.BigEndian.Uint64(b[i-7:]))]
			note(n, known)
		}
	}
}

// after finds values that begin with lead.
func (h *haul) after(b []byte, lead string, length int, note func(int, bool)) {
	for {
		i := bytes.Index(b, []byte(lead))
		if i < 0 || len(b) < i+len(lead)+length {
			return
		}
		n, known := h.crowd.values[string(b[i:i+len(lead)+length])]
		note(n, known)
		b = b[i+len(lead):]
	}
}

// tap is a connection of which a haul sees every byte that arrives.
type tap struct {
	net.Conn
	haul *haul
	view func([]byte) []byte // how the client reads what it gets; nil: as it is
	tail []byte
}

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	if n > 0 {
		t.tail = append(t.tail, p[:n]...)
		t.haul.look(t.tail)
		if t.view != nil {
			t.haul.look(t.view(t.tail))
		}
		t.tail = append(t.tail[:0], t.tail[max(0, len(t.tail)-overlap):]...)
	}
	return n, err
}
