package proxy_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgveil/pgveil/audit"
)

// Faults that the judge tells apart by name.
var (
	errAmid   = errors.New("an error stands amid a message, which the client reads as a part of it")
	errUntold = errors.New("the client, between statements, is not told that the server is gone")
	errNoEnd  = errors.New("the end of a session that began is not recorded")
)

// judge looks at what the client got. want is what it gets without the cut;
// ready says that the login is not in it.
func (k *taken) judge(want [][]byte, ready bool) error {
	rest, told := k.got, false
	got := framesOf(rest)
	for i, f := range got {
		rest = rest[len(f):]
		switch {
		case f[0] == 'E' && (isFatal(f) || i >= len(want) || want[i][0] != 'E'):
			told = true // by pgveil, or by a server that has lost us
		case told && (f[0] == 'Z' || f[0] == 'C'):
		case told || i >= len(want) || f[0] != want[i][0]:
			return fmt.Errorf("the client got %.60q out of turn", f)
		case ready && f[0] != 'E' && string(f) != string(want[i]):
			return fmt.Errorf("the client got %.60q, want %.60q: %w", f, want[i], errAmid)
		}
		ready = ready || f[0] == 'Z'
	}
	return k.judgeEnd(want, got, rest, told, ready && (len(got) == 0 || got[len(got)-1][0] == 'Z'))
}

// judgeEnd looks at the end of what the client got. Amid a message it cannot be
// told anything; before or behind one it must be, when the server was lost.
func (k *taken) judgeEnd(want, got [][]byte, rest []byte, told, idle bool) error {
	switch {
	case told && len(rest) > 0:
		return fmt.Errorf("an error is followed by %.60q", rest)
	case told || len(got) == len(want) && len(rest) == 0:
		return nil
	case len(got) == len(want) || len(rest) >= len(want[len(got)]) || string(rest) != string(want[len(got)][:len(rest)]):
		return fmt.Errorf("the client got %.60q at last: %w", rest[max(0, len(rest)-60):], errAmid)
	case !k.cut.far && k.cut.end != 0 || len(rest) > 0:
		return nil
	case idle:
		return errUntold
	default:
		return fmt.Errorf("the client got %d of %d messages, and is not told that the server is gone", len(got), len(want))
	}
}

func isFatal(f []byte) bool {
	var e pgproto3.ErrorResponse
	return e.Decode(f[5:]) == nil && e.Severity == "FATAL"
}

// checkRecords looks in the access log for everything that reached the server,
// and for the end of every session that began.
func (k *taken) checkRecords(t *testing.T, dir string) error {
	t.Helper()
	statements, logins, ends := 0, 0, 0
	for rec, err := range audit.Read(dir, k.from) {
		if err != nil {
			t.Fatal(err)
		}
		if rec.Seq >= k.to {
			break
		}
		switch {
		case rec.Kind == audit.KindStatement:
			statements++
		case rec.Message == "login":
			logins++
		case rec.Message == "end":
			ends++
		}
	}
	if n := reached(k.streams[2]); statements < n {
		return fmt.Errorf("%d statements reached the server, %d are recorded", n, statements)
	}
	if logins != ends {
		return errNoEnd
	}
	return nil
}

// reached counts the statements in what went to the server. What pgveil asks
// for itself is none.
func reached(stream []byte) (n int) {
	if len(stream) < 4 {
		return 0
	}
	start := min(len(stream), int(binary.BigEndian.Uint32(stream)))
	for _, f := range framesOf(stream[start:]) {
		if f[0] == 'Q' || f[0] == 'E' && !bytes.HasPrefix(f[5:], []byte("pgveil probe")) {
			n++
		}
	}
	return n
}

// framesOf takes a stream apart; what is no whole frame is left out.
func framesOf(stream []byte) (frames [][]byte) {
	for len(stream) >= 5 {
		n := 1 + int(binary.BigEndian.Uint32(stream[1:]))
		if n > len(stream) {
			break
		}
		frames = append(frames, stream[:n:n])
		stream = stream[n:]
	}
	return frames
}
