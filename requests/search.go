package requests

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/erasures"
	"github.com/pgveil/pgveil/state"
	"github.com/pgveil/pgveil/sweep"
)

// searchAfter is how long an erasure waits for others, so that one search serves
// all of them.
const searchAfter = 10 * time.Minute

// searchAgain is how long a worker waits after a search that failed.
const searchAgain = time.Minute

// searching is the lock of whoever searches the database: no request has this number.
const searching = 0

// Search looks once through the whole database for what is left of those who were
// erased, and ends their requests. busy tells whether there was something to do.
func (w *Worker) Search(ctx context.Context, conn *pgx.Conn) (busy bool, err error) {
	if waiting, err := state.Erased(ctx, conn, 0); err != nil || !waiting || time.Now().Before(w.searchNext) {
		return false, err
	}
	return w.exclusively(ctx, conn, searching, func() (bool, error) {
		var all []state.Request
		err := w.Service.transact(ctx, pgx.ReadOnly, func(tx pgx.Tx) (err error) {
			all, err = state.Requests(ctx, tx, maxShown, state.RequestFilter{States: []state.RequestState{state.RequestErased}})
			return err
		})
		if err == nil && len(all) > 0 {
			err = w.search(ctx, conn, all)
		}
		if err != nil {
			w.searchNext = time.Now().Add(searchAgain)
			return false, fmt.Errorf("searching for what is left of the erased: %w", err)
		}
		return len(all) > 0, nil
	})
}

// sought is an erasure whose remains are searched for.
type sought struct {
	request state.Request
	known   known
	outcome outcome
	left    []erasures.Left
	now     map[string]int64 // outcome.Seen of this search
	swept   erasures.Sweep

	unsearched []string       // where nobody could look
	ended      erasures.Entry // the ledger's
	endedAt    uint64         // its record in the access log
	failed     error          // why it is not there
}

// mark is how the names of a person's needles begin in a search for many.
func mark(person int) string { return "#" + strconv.Itoa(person) + " " }

// unsearched gives the places that a search did not look at, and what it did not
// look for everywhere: of needles, those of one person alone.
func unsearched(found sweep.Report, mark string) []string {
	all := slices.Clone(found.NotSearched)
	for _, needle := range found.TooShort {
		if name, mine := strings.CutPrefix(needle, mark); mine {
			all = append(all, name+": too short to be looked for in all texts")
		}
	}
	return all
}

func (w *Worker) search(ctx context.Context, conn *pgx.Conn, all []state.Request) error {
	var needles []sweep.Needle
	var people []*sought
	for _, r := range all {
		s := &sought{request: r}
		var err error
		if s.known, err = w.unseal(&r); err == nil {
			err = json.Unmarshal(r.Outcome, &s.outcome)
		}
		if err != nil { // which is no reason to keep the others waiting
			if err := w.review(ctx, r, "it cannot be searched for: pgveil's log says why", err); err != nil {
				return err
			}
			continue
		}
		for _, n := range s.known.Needles {
			n.Name = mark(len(people)) + n.Name
			needles = append(needles, n)
		}
		people = append(people, s)
	}
	if people == nil {
		return nil
	}
	if err := w.tidy(ctx, conn, people); err != nil {
		return err
	}
	at := time.Now()
	found, err := w.sweep(ctx, conn, needles)
	if err != nil {
		return err
	}
	for _, h := range found.Hits {
		of, _, _ := strings.Cut(h.Needle, " ")
		i, err := strconv.Atoi(strings.TrimPrefix(of, "#"))
		if err != nil || i >= len(people) {
			return fmt.Errorf("internal error: a hit of %q", h.Needle)
		}
		people[i].see(h)
		people[i].left = append(people[i].left, erasures.Left{Table: h.Relation, Column: h.Column, Rows: h.Rows, Because: people[i].why(h)})
	}
	for i, s := range people {
		s.unsearched = unsearched(found, mark(i))
		s.swept = erasures.Sweep{At: at, Tables: int64(found.Relations), Rows: found.Rows, Needles: int64(len(s.known.Needles)), Left: s.left}
	}
	return w.concludeAll(ctx, conn, people)
}

// concludeAll ends erasures. The ledger has all of them, and the access log with
// it, before the first certificate is made: so one signed checkpoint serves them
// all, and none waits for a checkpoint of its own.
func (w *Worker) concludeAll(ctx context.Context, conn *pgx.Conn, people []*sought) error {
	for _, s := range people {
		if s.unexplained() != nil {
			continue
		}
		if s.failed = w.end(ctx, conn, s); ctx.Err() != nil {
			return ctx.Err()
		}
	}
	for _, s := range people {
		if err := w.conclude(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// tidy takes dead rows and statistics away, once for all. Where that is not
// allowed, it is noted as left.
func (w *Worker) tidy(ctx context.Context, conn *pgx.Conn, people []*sought) error {
	set, cat := w.Service.Data.Current()
	relations := map[string][]string{} // by kind of subject
	for _, s := range people {
		for _, r := range s.outcome.Erased.Relations {
			if kind := s.request.Kind; !slices.Contains(relations[kind], r) {
				relations[kind] = append(relations[kind], r)
			}
		}
	}
	for kind, names := range relations {
		there, gone, err := present(ctx, conn, names)
		if err != nil {
			return err
		}
		done := dsar.Tidied{}
		if g, err := dsar.NewGraph(set, cat, kind); err != nil {
			w.Log.Warn("requests: dead rows and statistics are left", "kind", kind, "err", err)
			done.Left = append(done.Left, "dead rows and statistics of "+strings.Join(there, ", ")+": the policy knows no such data subjects any more")
		} else if done, err = dsar.Tidy(ctx, conn, g, there); err != nil {
			return err
		}
		for _, name := range gone {
			done.Left = append(done.Left, "copies of "+name+": the table is there no more, by that name")
		}
		for _, s := range people {
			if s.request.Kind == kind {
				s.outcome.Erased.Tidied = done
			}
		}
	}
	return nil
}

// present tells tables that are there from those that were dropped or renamed
// since: they keep nobody from their end.
func present(ctx context.Context, conn *pgx.Conn, names []string) (there, gone []string, err error) {
	rows, err := conn.Query(ctx, `SELECT n.nspname || '.' || c.relname FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
		WHERE n.nspname || '.' || c.relname = ANY ($1::text[])`, names)
	if err != nil {
		return nil, nil, err
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, name := range names {
		if slices.Contains(found, name) {
			there = append(there, name)
		} else {
			gone = append(gone, name)
		}
	}
	return there, gone, err
}

// why says why something may be left: in rows that the plan keeps, as far as there
// are so many of them, or because an officer who saw it said so. "" is no reason.
func (s *sought) why(h sweep.Hit) string {
	if reason := s.kept(h); reason != "" {
		return reason
	}
	if seen, ok := s.outcome.Seen[h.Relation+"."+h.Column]; ok && (h.Statistics || h.Rows <= seen) {
		return s.request.Despite
	}
	return ""
}

// kept gives why the plan keeps the rows that something is left in.
func (s *sought) kept(h sweep.Hit) (reason string) {
	var rows int64
	for _, step := range s.outcome.Erased.Steps {
		if step.Table == h.Relation && step.Action == dsar.Keep && step.Rows > 0 {
			rows += step.Rows
			reason = cmp.Or(reason, step.Reason)
		}
	}
	if rows == 0 || !h.Statistics && h.Rows > rows {
		return ""
	}
	return reason
}

// see keeps what people are to decide about.
func (s *sought) see(h sweep.Hit) {
	if s.kept(h) != "" {
		return
	}
	if s.now == nil {
		s.now = map[string]int64{}
	}
	place := h.Relation + "." + h.Column
	s.now[place] = max(s.now[place], h.Rows)
}

// unexplained gives the places of what is left without a reason.
func (s *sought) unexplained() (places []string) {
	if !slices.ContainsFunc(s.left, func(l erasures.Left) bool { return l.Because == "" }) {
		return nil
	}
	for _, l := range s.left {
		if l.Because == "" || l.Because == s.request.Despite { // whoever gives a reason gives it for all
			places = append(places, fmt.Sprintf("%s.%s (%d rows)", l.Table, l.Column, l.Rows))
		}
	}
	return places
}

// conclude ends an erasure of which nothing is left but what may be, and has
// people look at every other.
func (w *Worker) conclude(ctx context.Context, s *sought) error {
	r := s.request
	if places := s.unexplained(); places != nil {
		var err error
		s.outcome.Seen = s.now
		if r.Outcome, err = json.Marshal(s.outcome); err != nil {
			return err
		}
		return w.review(ctx, r, "what the subject was known by is still in "+strings.Join(places, ", "), nil)
	}
	proof, err := w.certify(ctx, s)
	if err != nil && ctx.Err() == nil {
		return w.review(ctx, r, "nothing is left, but there is no certificate: pgveil's log says why", err)
	}
	if err != nil {
		return err
	}
	r.State, r.Proof, r.Needles, r.Failure = state.RequestCompleted, proof, nil, ""
	return w.save(ctx, r, "completed")
}

// review has people decide about an erasure. RUN has it searched for again.
func (w *Worker) review(ctx context.Context, r state.Request, why string, err error) error {
	if err != nil {
		w.Log.Warn("requests: an erasure does not come to its end", "request", r.ID, "err", err)
	}
	r.State, r.Failure = state.RequestReview, why
	r.Despite, r.DespiteBy, r.Known = "", "", false // it was of what was left then
	w.raise(r, alert.Event{Name: "request_review", Severity: alert.Warning, Message: "an erasure is for people to decide about"})
	return w.save(ctx, r, "for review")
}

// save writes down how an erasure stands. Of one that is over nobody need know any
// more whom the access log's token stands for.
func (w *Worker) save(ctx context.Context, r state.Request, what string) error {
	return w.Service.transact(ctx, pgx.ReadWrite, func(tx pgx.Tx) error {
		now, err := state.LockRequest(ctx, tx, r.ID)
		if err != nil || now.State != state.RequestErased {
			return err // somebody else has come to its end
		}
		theirs(&r, now)
		if err := note(ctx, tx, r, w.Name, what, r.Failure, w.witness(r, what)); err != nil {
			return err
		}
		if r.State == state.RequestCompleted {
			if err := state.ForgetSubject(ctx, tx, r.Kind, r.Token); err != nil {
				return err
			}
		}
		return state.SaveRequest(ctx, tx, r)
	})
}

// end writes the end of an erasure into the ledger.
func (w *Worker) end(ctx context.Context, conn *pgx.Conn, s *sought) error {
	where, err := erasures.Locate(ctx, conn)
	if err != nil {
		return err
	}
	s.ended, err = w.Notary.Ledger.Done(s.known.Intent, erasures.Outcome{Stays: stays(s.outcome.Erased.Steps, s.outcome.Own), Database: where})
	if err == nil {
		s.endedAt, err = w.Notary.Record(ctx, s.ended)
	}
	return err
}
