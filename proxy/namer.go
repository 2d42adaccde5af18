package proxy

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// subject is a data subject as the database knows it.
type subject struct{ kind, key string }

// NameSubjects gives the tokens that the access log has for subjects of one
// kind, by their keys; whoever has none yet gets one.
type NameSubjects func(ctx context.Context, kind string, keys []string) (map[string]string, error)

// errUnnamed says that there is nobody who names subjects.
var errUnnamed = errors.New("names of data subjects are not kept")

const (
	// namesKept is how many names are remembered, and half of how many at most:
	// some hundred bytes each.
	namesKept = 100_000
	// namesFor is for how long: whose row was deleted meanwhile has another name
	// from then on.
	namesFor = 5 * time.Minute
	// nameAgain is how long nobody asks again after a failure, and twice that
	// after each further one, up to nameRarely.
	nameAgain  = time.Second
	nameRarely = time.Minute
	// nameTimeout is how long the end of an answer may wait for names.
	nameTimeout = 5 * time.Second
)

// namer gives subjects the names that they have in the access log. Questions
// that come while another is answered are put together.
type namer struct {
	ask NameSubjects // nil: nobody has a name
	log *slog.Logger
	now func() time.Time

	mu           sync.Mutex
	failed       time.Time          // the last time that asking failed
	pause        time.Duration      // until somebody asks again
	told         time.Time          // the last time that the operators were told
	last, before map[subject]string // two generations of what was asked for lately
	since        time.Time          // when those were forgotten last
	waiting      []*question
	answering    bool
}

// question is what one session wants to know.
type question struct {
	subjects []subject
	done     chan error
}

func newNamer(ask NameSubjects, log *slog.Logger, now func() time.Time) *namer {
	return &namer{ask: ask, log: log, now: now, last: map[subject]string{}, since: now()}
}

// known gives the names of subjects. Those that are not remembered are left out.
func (n *namer) known(subjects []subject) (names []string, missing []subject) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now := n.now(); now.Sub(n.since).Abs() >= namesFor {
		n.last, n.before, n.since = map[subject]string{}, nil, now
	}
	for _, s := range subjects {
		name, ok := n.last[s]
		if !ok {
			if name, ok = n.before[s]; ok {
				n.remember(s, name)
			}
		}
		if ok {
			names = append(names, name)
		} else {
			missing = append(missing, s)
		}
	}
	return names, missing
}

func (n *namer) remember(s subject, name string) {
	if len(n.last) >= namesKept {
		n.before, n.last = n.last, make(map[subject]string, namesKept)
	}
	n.last[s] = name
}

// names gives the names of subjects, and asks for those that are not remembered.
func (n *namer) names(ctx context.Context, subjects []subject) ([]string, error) {
	names, missing := n.known(subjects)
	if len(missing) == 0 {
		return names, nil
	}
	if n.ask == nil || n.hasFailed() {
		return nil, errUnnamed
	}
	ctx, cancel := context.WithTimeout(ctx, nameTimeout)
	defer cancel()
	select {
	case err := <-n.question(missing):
		if err != nil {
			return nil, err
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	more, missing := n.known(missing)
	if len(missing) > 0 { // a crowd has come meanwhile
		return nil, errUnnamed
	}
	return append(names, more...), nil
}

// question asks, and gives where it will be said that names are remembered.
func (n *namer) question(subjects []subject) <-chan error {
	q := &question{subjects, make(chan error, 1)}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waiting = append(n.waiting, q)
	if !n.answering {
		n.answering = true
		go n.answer()
	}
	return q.done
}

// answer answers questions until there are none.
func (n *namer) answer() {
	for {
		n.mu.Lock()
		questions := n.waiting
		n.waiting = nil
		n.answering = len(questions) > 0
		n.mu.Unlock()
		if len(questions) == 0 {
			return
		}
		err := n.learn(questions)
		n.tell(err)
		for _, q := range questions {
			q.done <- err
		}
	}
}

// hasFailed tells whether it is too soon to ask again.
func (n *namer) hasFailed() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.failed.IsZero() && n.now().Sub(n.failed) < n.pause
}

// tellEvery is how often operators are told that names cannot be had.
const tellEvery = time.Minute

func (n *namer) tell(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err == nil {
		n.failed, n.pause = time.Time{}, 0
		return
	}
	n.pause = min(max(nameAgain, 2*n.pause), nameRarely)
	if n.failed = n.now(); n.told.IsZero() || n.failed.Sub(n.told) >= tellEvery {
		n.told = n.failed
		n.log.Error("data subjects are counted in the access log and not named", "err", err)
	}
}

func (n *namer) learn(questions []*question) error {
	ctx, cancel := context.WithTimeout(context.Background(), nameTimeout)
	defer cancel()
	keys := map[string][]string{}
	for _, q := range questions {
		for _, s := range q.subjects {
			keys[s.kind] = append(keys[s.kind], s.key)
		}
	}
	for kind, keys := range keys {
		tokens, err := n.ask(ctx, kind, keys)
		if err != nil {
			return err
		}
		n.mu.Lock()
		for key, token := range tokens {
			n.remember(subject{kind, key}, kind+":"+token)
		}
		n.mu.Unlock()
	}
	return nil
}
