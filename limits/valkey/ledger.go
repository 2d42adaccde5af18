package valkey

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	_ "embed" // the scripts
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/limits"
	"github.com/pgveil/pgveil/policy"
)

// Options say where the server is, and what happens without it.
type Options struct {
	Address  string                 // host:port
	TLS      *tls.Config            // nil: in clear
	User     string                 // "": the default one
	Password func() (string, error) // read for each connection; nil: none is needed
	Database int
	Timeout  time.Duration // within which there must be an answer, a new connection included
	Key      []byte        // that names of counters are digested with
	Local    bool          // without the server, what this process gives counts for itself
	Alerts   alert.Raiser
	Now      func() time.Time // as of the Book's
}

// Ledger counts with a server.
type Ledger struct {
	o       Options
	process string // its name on the server
	pool    *pool
	circuit circuit
	floor   atomic.Int64 // asks of the process that the server knows of
	found   atomic.Int64 // how often processes found that it had forgotten something; -1: unknown

	ask, restore, finish script
	end                  func() error

	grace   time.Duration // for which others are waited for
	mending chan struct{} // has one while the server is brought up to date
	mended  atomic.Int64  // how often it was
	memo    memo
	local   local
	asked   atomic.Int64
}

//go:embed ask.lua
var askText string

//go:embed restore.lua
var restoreText string

//go:embed mended.lua
var mendedText string

// script is one that the server keeps, by its digest.
type script struct{ text, digest string }

func newScript(text string) script {
	sum := sha1.Sum([]byte(text)) // which is what Valkey calls it by
	return script{text, hex.EncodeToString(sum[:])}
}

// New makes a ledger. The server is asked for nothing yet.
func New(o Options) *Ledger {
	var name [6]byte
	_, _ = rand.Read(name[:]) // never fails
	l := &Ledger{
		o: o, process: base64.RawURLEncoding.EncodeToString(name[:]), ask: newScript(askText), restore: newScript(restoreText), finish: newScript(mendedText),
		grace: grace, mending: make(chan struct{}, 1), memo: memo{counters: map[limits.Counter]*own{}},
	}
	l.found.Store(-1)
	l.pool = newPool(&l.o)
	l.end = sync.OnceValue(func() error { return l.pool.close(o.Timeout) })
	return l
}

// grace is longer than from one Sync to the next.
const grace = 5 * time.Second

// Waits tells that answers come over a network.
func (l *Ledger) Waits() bool { return true }

// Close ends the connections. A second one only tells what the first one did.
func (l *Ledger) Close() error { return l.end() }

// Stats says how the server does.
type Stats struct {
	Away  bool
	Asked int64 // answers
	Lost  int64 // how often it had forgotten what was counted
}

// Stats gives what metrics show.
func (l *Ledger) Stats() Stats {
	return Stats{Away: l.circuit.away(), Asked: l.asked.Load(), Lost: l.mended.Load()}
}

// ErrUnreachable says that the server does not answer as it should.
var ErrUnreachable = errors.New("limits: what is counted is with a server that cannot be asked")

// Ask counts. Without the server nothing is given, or what the process itself may.
func (l *Ledger) Ask(ctx context.Context, asks []limits.Ask) ([]limits.Answer, error) {
	if err := check(asks); err != nil {
		return nil, err
	}
	there := counted(asks, onServer)
	l.memo.giveBack(there)
	answers, err := l.try(ctx, there)
	if err != nil && l.o.Local && errors.Is(err, ErrUnreachable) {
		return l.local.ask(ctx, &l.memo, l.o.Now, asks)
	}
	return answers, err
}

// Sync sees whether the server is there and remembers: nobody else may ask for long.
func (l *Ledger) Sync(ctx context.Context) error {
	l.memo.tidy(l.o.Now())
	if _, err := l.try(ctx, nil); !errors.Is(err, errWaiting) {
		return err
	}
	return nil
}

// check refuses what the scripts do not know: a counter counts subjects or amounts.
func check(asks []limits.Ask) error {
	for _, a := range asks {
		subjects := a.Counter.Of == policy.LimitSubjects
		if subjects && a.Amount != 0 || !subjects && len(a.Subjects) > 0 {
			return fmt.Errorf("limits: internal error: %v are asked for as something else", a.Counter.Of)
		}
	}
	return nil
}

// try asks the server, if it is not known to be away.
func (l *Ledger) try(ctx context.Context, asks []limits.Ask) ([]limits.Answer, error) {
	if err := l.circuit.enter(time.Now(), l.o.Timeout); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	answers, err := l.settled(ctx, asks)
	if err != nil && ctx.Err() != nil {
		l.circuit.leave() // who asked has gone
		return nil, ctx.Err()
	}
	here := err
	if errors.Is(err, errWaiting) {
		here = nil
	}
	l.tell(l.circuit.note(time.Now(), here), here)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return answers, nil
}

// attempts is how often one question may meet a server that forgets.
const attempts = 3

var (
	errForgot = errors.New("it forgets what was counted")
	errOthers = errors.New("others found that it forgets what was counted")

	// errWaiting says that nothing is given until all who could have something to
	// write back have asked: they do so every second.
	errWaiting = errors.New("it had forgotten what was counted, and others may still write back what they know")
)

// settled asks the server, after it has been told what it does not know.
func (l *Ledger) settled(ctx context.Context, asks []limits.Ask) (answers []limits.Answer, err error) {
	for range attempts {
		mended := l.mended.Load()
		if err = l.settle(ctx); err == nil {
			answers, err = l.run(ctx, asks)
		}
		if !errors.Is(err, errForgot) && !errors.Is(err, errOthers) {
			return answers, err
		}
		if err := l.mend(ctx, mended, errors.Is(err, errForgot)); err != nil {
			return nil, err
		}
	}
	return nil, err
}

// run asks the server once.
func (l *Ledger) run(ctx context.Context, asks []limits.Ask) ([]limits.Answer, error) {
	found := l.found.Load()
	keys := []string{l.key(), foundKey, waitKey}
	args := []string{l.process, strconv.FormatInt(l.floor.Load(), 10), strconv.FormatInt(found, 10)}
	for i := range asks {
		keys = append(keys, l.name(asks[i].Counter))
		args = appendAsk(args, &asks[i])
	}
	before := l.o.Now()
	numbers, err := l.eval(ctx, l.ask, head+each*len(asks), keys, args)
	if err != nil {
		return nil, err
	}
	if len(numbers) == head && numbers[0] < 0 {
		switch {
		case numbers[0] == -2:
			return nil, errWaiting
		case found >= 0 && numbers[1] > found: // less: that is forgotten as well, since it was lost once more
			return nil, errOthers
		}
		return nil, errForgot
	}
	answers, err := readAnswers(asks, numbers, before, l.o.Now())
	if err == nil {
		err = l.memo.note(numbers[0], numbers[2], asks, answers)
	}
	if err != nil {
		return nil, err
	}
	l.asked.Add(1)
	l.found.CompareAndSwap(-1, numbers[1])
	raise(&l.floor, numbers[0])
	return answers, nil
}

// eval runs a script, which gives at most so many numbers.
func (l *Ledger) eval(ctx context.Context, s script, most int, keys, args []string) (numbers []int64, err error) {
	command := append([]string{"EVALSHA", s.digest, strconv.Itoa(len(keys))}, append(keys, args...)...)
	ctx, cancel := context.WithTimeout(ctx, l.o.Timeout)
	defer cancel()
	err = l.pool.do(ctx, func(c *conn) error {
		numbers, err = c.ask(ctx, most, command)
		if noScript(err) {
			command[0], command[1] = "EVAL", s.text
			numbers, err = c.ask(ctx, most, command)
		}
		return err
	})
	return numbers, err
}

// raise makes a number at least so much.
func raise(n *atomic.Int64, least int64) {
	for {
		was := n.Load()
		if was >= least || n.CompareAndSwap(was, least) {
			return
		}
	}
}

// exact is up to where Lua's numbers are.
const exact = 1 << 53

func appendAsk(args []string, a *limits.Ask) []string {
	window, length := microseconds(a.Counter)
	amount, ids := "s", []byte(nil)
	if a.Counter.Of != policy.LimitSubjects {
		amount = strconv.FormatInt(max(min(a.Amount, exact), -exact), 10)
	}
	for i := range a.Subjects {
		ids = append(ids, a.Subjects[i][:]...)
	}
	most := max(min(a.Most, exact), -exact)
	return append(args, strconv.FormatInt(window, 10), strconv.FormatInt(length, 10), strconv.FormatInt(most, 10), amount, strconv.FormatInt(a.Slot, 10), string(ids))
}

// slots of a window.
const slots = 60

// microseconds gives how long a counter's window is, and a slot of it.
func microseconds(c limits.Counter) (window, length int64) {
	window = c.Window.Microseconds()
	if c.Window > 0 {
		window = max(window, 1)
	}
	return window, max(window/slots, 1)
}

// How many numbers an answer begins with, and how many are of each question.
const (
	head = 3
	each = 5
)

// readAnswers takes answers out of numbers, which may be anything.
func readAnswers(asks []limits.Ask, numbers []int64, before, after time.Time) ([]limits.Answer, error) {
	if len(numbers) != head+each*len(asks) || min(numbers[0], numbers[1], numbers[2]) < 0 || max(numbers[0], numbers[1]) > exact || numbers[2] > exact/2 {
		return nil, errAnswer
	}
	now := numbers[2]
	answers := make([]limits.Answer, len(asks))
	for i, a := range asks {
		n := numbers[head+each*i:]
		amount, slot, counts, used, oldest := n[0], n[1], n[2], n[3], n[4]
		window, length := microseconds(a.Counter)
		switch {
		case amount < 0 || amount > max(a.Amount, 0), counts < 0 || counts > int64(len(a.Subjects)), used < 0 || used < amount+counts:
			return nil, errAnswer
		case slot < 0 || slot > exact/2/length, oldest < -1 || oldest > slot:
			return nil, errAnswer
		}
		answers[i] = limits.Answer{Amount: amount, Slot: slot, Subjects: int(counts), Used: used}
		if window == 0 {
			continue
		}
		answers[i].Ends = before.Add(micro((slot+1)*length - now))
		if oldest >= 0 {
			answers[i].Again = after.Add(micro((oldest+1)*length + window - now))
		}
	}
	return answers, nil
}

func micro(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// These are of all processes.
const (
	foundKey = "pgveil:forgot"
	waitKey  = "pgveil:waiting"
)

// key is of the process's own.
func (l *Ledger) key() string { return "pgveil:process:{" + l.process + "}" }

// name is what a counter is called on the server. The braces let all that is of it
// be on one server of many.
func (l *Ledger) name(c limits.Counter) string {
	h := hmac.New(sha256.New, l.o.Key)
	b := binary.AppendVarint([]byte{byte(c.Of), byte(c.Whose)}, int64(c.Window))
	b = append(binary.AppendUvarint(b, uint64(len(c.Name))), c.Name...)
	h.Write(append(b, c.Who...))
	return "pgveil:{" + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16]) + "}"
}
